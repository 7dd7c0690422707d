"""What is asked of a training, and what that takes in memory and time.

The trainer reads it, so it knows neither Docker nor the store.
"""
