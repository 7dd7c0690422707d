"""Endpoints of adapters and aliases. Model servers are asked by `registry` and `serving`."""
