"""Numbered job events: written once by the owner of an attempt, replayed and followed by many."""
