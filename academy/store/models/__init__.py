"""Adapters, aliases, and what names an artifact. Base models are folders, not rows."""
