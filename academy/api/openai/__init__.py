"""Endpoints below ``/v1``, in OpenAI's words. Our own contract is elsewhere."""
