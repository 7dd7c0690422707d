"""What changed (jobs, adapters, aliases, workers, datasets), in an order that misses nothing.

Triggers write the rows (migration 0012), so no statement can forget one.
"""
