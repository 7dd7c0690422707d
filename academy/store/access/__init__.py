"""Keys, tickets and the answers kept for repeated requests. Who may do what is `access`'."""
