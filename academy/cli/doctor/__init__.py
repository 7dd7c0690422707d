"""`academy doctor`: what Academy needs on this machine, what is optional, and what is missing."""
