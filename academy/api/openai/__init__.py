"""Endpoints that speak OpenAI's protocol, below ``/v1``."""
