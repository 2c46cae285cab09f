"""Admission by policy: what may run where, on which data, for how much (imports nothing here)."""
