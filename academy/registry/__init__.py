"""Which adapter version serves under which name, and how that changes without losing a request."""
