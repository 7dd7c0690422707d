"""Jobs to come: schedules and sweeps. When they are due is decided in the rooms of those names."""
