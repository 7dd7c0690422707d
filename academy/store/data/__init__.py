"""Lessons, tasks, runs, datasets, and on which side of the split a group lies.

Which rows are good is `curation`'s.
"""
