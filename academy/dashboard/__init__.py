"""The page at ``/academy``: its templates, scripts, texts, and the session that opens it."""
