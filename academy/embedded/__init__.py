"""PostgreSQL, Valkey and Academy's own processes, started and stopped on one machine."""
