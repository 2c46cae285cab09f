"""Witnesses and a time-stamping authority on this machine, for tests and examples."""
