"""Jobs to come: schedules and sweeps."""
