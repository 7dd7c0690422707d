"""Which adapter version serves under which name, and how that changes without losing a request.

How a model server is spoken to is `serving`'s.
"""
