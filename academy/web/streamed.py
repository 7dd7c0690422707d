"""Answers that are made while they are sent."""

from __future__ import annotations

from flask import Response


class Streamed(Response):
    """An answer whose body is an iterator, which nothing reads but the connection.

    Werkzeug would gather the body to count its bytes where an answer is made conditional, and a
    body may be larger than memory.
    """

    implicit_sequence_conversion = False
