"""Numbered job events: written once by the owner of an attempt, replayed and followed by many.

What an event means for a kind of job is not known here.
"""
