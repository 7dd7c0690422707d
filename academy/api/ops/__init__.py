"""Endpoints for whoever runs Academy: status, workers, schedules, shares, probes.

What a client needs of its own jobs is not here.
"""
