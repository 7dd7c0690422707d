"""The HTTP API: the application, its server, the OpenAPI document. Endpoints are one room down.

What they do is done by services, which know no Flask. Nothing is imported here, so that
``python -m academy.api`` can prepare gevent before all else.
"""
