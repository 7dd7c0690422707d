"""Who may do what: keys, tickets and sessions. What a request does with them is `web`'s."""
