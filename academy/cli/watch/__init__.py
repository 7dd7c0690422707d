"""A job's events at the terminal: what each says, progress bars folded, live or as plain lines."""
