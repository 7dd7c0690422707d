"""Endpoints of jobs of every kind: their list, status, steering, logs and streams.

What only one kind has lies in the room of its noun.
"""
