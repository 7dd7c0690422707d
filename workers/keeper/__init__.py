"""The keeper: duties that make every promise come true in the end, one a file, and their loop.

A duty's rules lie in the room of its noun.
"""
