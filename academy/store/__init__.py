"""The only room that speaks SQL: tables, transitions, claims, leases, and queries by noun.

Functions take a session and never commit; the entry point that opened the session does. Rows leave
this room as plain records: no relationship is ever loaded lazily.
"""
