"""Adversarial image generators for qimg (imports nothing)."""

__version__ = "0.1.0"
