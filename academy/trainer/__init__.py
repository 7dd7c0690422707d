"""The program that trains: ``python -m academy.trainer SPEC.json --out DIR``.

It knows files and its own standard output only: no Flask, Celery, SQL or Redis.
"""
