"""Training jobs: admission, preflight, the supervisor of a trainer, gangs of several hosts.

Nothing is computed here; that is the trainer's, a program of its own.
"""
