"""Endpoints of what datasets are made from and of datasets: lessons, runs, uploads, curation."""
