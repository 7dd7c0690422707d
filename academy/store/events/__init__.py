"""The archive of job events, and the figures that dashboards draw."""
