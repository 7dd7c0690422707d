"""A job on a worker: its attempt, lease and hints. What the work is belongs to its own room."""
