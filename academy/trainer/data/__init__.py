"""The rows of a training: read, told apart by their use, encoded, laid into batches.

They come curated; no row is judged here.
"""
