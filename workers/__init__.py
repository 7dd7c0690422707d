"""Celery's face: the app, thin tasks, the worker process. What the work is lies in `academy`."""
