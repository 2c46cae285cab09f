"""Cases for encoders (E), ansatzes (A), observables (O) and generators (G)."""
