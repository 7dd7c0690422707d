"""The processes of one training: where they meet, how they start and end together.

Which hosts take part is decided by `training` (gangs).
"""
