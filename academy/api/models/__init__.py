"""Endpoints of adapters and aliases."""
