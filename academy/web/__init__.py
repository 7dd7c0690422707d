"""HTTP plumbing that API and dashboard share. No endpoint lives here."""
