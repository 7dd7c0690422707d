"""What keeps an installation in order.

What a process needs before it begins is asked here, and what nobody names any more is removed.

How a job ends is not here; that is `jobs`'.
"""
