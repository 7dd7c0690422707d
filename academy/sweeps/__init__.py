"""Trials of one search: what is asked, which values come next, when a trial is stopped.

How one trial trains is `training`'s.
"""
