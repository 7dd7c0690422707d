"""Adapters, aliases, and what names an artifact."""
