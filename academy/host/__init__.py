"""What the machine gives: processes, locks, GPUs. Knows nothing of Academy but its errors."""
