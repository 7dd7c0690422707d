"""Jobs, their transitions and claims, and the workers that carry them out."""
