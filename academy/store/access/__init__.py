"""Keys, tickets and the answers kept for repeated requests."""
