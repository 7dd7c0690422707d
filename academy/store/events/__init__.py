"""The archive of job events, and the figures that dashboards draw. The live stream is `events`'."""
