"""Endpoints of keys and tickets."""
