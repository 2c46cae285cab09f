"""The standard encoders, ansatzes and observables of qimg (imports nothing by itself)."""
