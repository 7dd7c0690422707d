"""Reading git history from repositories that may be hostile.

`repository` says what a path is and refuses what is not safe to read, `shadow` builds the bare
repository of our own in which git runs, `history` streams ``git log -p`` from it, `change` parses
the diffs, `filters` holds the rules and `examples` makes training rows.
"""
