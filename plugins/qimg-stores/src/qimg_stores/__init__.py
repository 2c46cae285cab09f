"""Stores of qimg ledgers: PostgreSQL, write-once archives, keys in hardware."""
