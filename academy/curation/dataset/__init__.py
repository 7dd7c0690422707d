"""A dataset as a folder: how it is written, described, compared and shown.

Where it is kept is `artifacts`'.
"""
