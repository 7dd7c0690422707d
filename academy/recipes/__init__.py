"""What is asked of a training, and what that takes in memory and time."""
