"""The base model with its adapter, and how it computes."""
