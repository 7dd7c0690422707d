"""Academy turns an agent's daily work into a better model.

Importing this package is instant: it loads nothing but itself.
"""

__version__ = "0.1.0"
