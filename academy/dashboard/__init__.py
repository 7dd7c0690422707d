"""The page at ``/academy``: its templates, scripts, texts, and the session that opens it.

Its data come from the API, by the browser; no query is here.
"""
