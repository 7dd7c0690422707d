"""Curation: lessons, conversations and git history become a dataset.

`request.CurationRequest` says what is wanted, `curate.curate` makes it, `uploads` reads files
that users bring. This package imports nothing heavy, and knows no HTTP and no training.
"""
