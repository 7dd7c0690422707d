"""The base model with its adapter, and how it computes. The loop over steps is `fit`'s."""
