"""Endpoints of trainings: their requests, the preflight, sweeps.

What holds for jobs of every kind is in `api.jobs`.
"""
