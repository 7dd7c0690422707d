"""Endpoints of trainings: their requests, the preflight, sweeps."""
