"""Webhooks and their deliveries. What is sent, and how, is `academy.webhooks`'."""
