"""classical as a qimg backend."""

__version__ = "0.1.0"
