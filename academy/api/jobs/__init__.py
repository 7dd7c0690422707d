"""Endpoints of jobs of every kind: their list, their status, logs and streams."""
