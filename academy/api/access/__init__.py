"""Endpoints of keys and tickets. Checking the key of a request is `web`'s."""
