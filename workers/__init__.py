"""The only room that knows Celery: the app, thin tasks, and the keeper."""
