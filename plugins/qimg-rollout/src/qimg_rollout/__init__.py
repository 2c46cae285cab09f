"""Flags, canaries, drift and blocked routes for quantum paths."""
