"""Incidents, the gate of a build, and checklists answered from a ledger."""
