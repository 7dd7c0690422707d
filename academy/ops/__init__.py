"""What keeps an installation in order: what nobody names any more is removed.

How a job ends is not here; that is `jobs`'.
"""
