"""Folders that never change once published: datasets, checkpoints, adapters, exports.

What one of them holds is known to the room that made it.
"""
