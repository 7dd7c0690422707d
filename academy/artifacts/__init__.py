"""Folders that never change once published: datasets, checkpoints, adapters, exports."""
