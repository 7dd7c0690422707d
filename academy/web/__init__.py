"""HTTP plumbing that API and dashboard share. No endpoint and no rule of a noun lives here."""
