"""Training jobs: the recipe, the launching of a trainer and the watching of it."""
