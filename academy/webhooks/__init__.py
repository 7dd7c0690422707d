"""Webhooks: telling servers of others what changes, after Standard Webhooks and in OpenAI's form.

Endpoints and commands are not here; nor is what changed, which triggers write.
"""
