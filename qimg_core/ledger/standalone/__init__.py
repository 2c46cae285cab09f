"""Code that leaves the house: `verify` is copied into every bundle and imports the standard library only."""
