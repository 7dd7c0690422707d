"""Statistics that decide: is a candidate better on the same items, and how sure is that?

They get numbers; no model is loaded and no job is known here.
"""
