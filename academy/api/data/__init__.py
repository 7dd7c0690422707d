"""Endpoints of what datasets are made from and of datasets: lessons, runs, uploads, curations.

How rows are read, checked and kept is `curation`'s.
"""
