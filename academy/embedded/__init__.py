"""PostgreSQL, Valkey and Academy's own processes, started and stopped on one machine.

What such a process does, and servers of other makes, are not here.
"""
