"""The Celery application, where ``celery -A workers.app`` looks for it."""

from academy.jobs.broker import app

__all__ = ["app"]
