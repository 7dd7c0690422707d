"""Jobs that are submitted by the clock: every so often, or by a cron expression in a time zone.

What is submitted, and its checks, are the kind's own.
"""
