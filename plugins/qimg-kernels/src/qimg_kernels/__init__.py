"""Compiled kernels for qimg-simulator (imports nothing but its own library module)."""

from qimg_kernels.library import level, levels

__version__ = "0.1.0"
__all__ = ["__version__", "level", "levels"]
