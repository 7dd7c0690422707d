"""The HTTP API, and the only room with Flask in it beside the dashboard: thin views over services.

Nothing is imported here, so that ``python -m academy.api`` can prepare gevent before all else.
"""
