"""Jobs, their transitions and claims, and the workers that carry them out.

The one place that changes a status. What the work is is not known here.
"""
