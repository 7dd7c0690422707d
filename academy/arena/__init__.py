"""Proof that a candidate adapter is better: suites, scorers, paired statistics, the gate."""
