"""Endpoints for whoever runs Academy: status, workers, schedules, shares, probes."""
