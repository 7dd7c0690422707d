"""Live events over connections that are taken over from their requests: no thread waits for any."""
