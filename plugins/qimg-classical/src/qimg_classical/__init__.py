"""The classical path as a qimg backend: exact simulation under a size bound, above it a labelled surrogate.

Nothing heavy is imported here; ask the registry for the backend ``classical``.
"""

from __future__ import annotations

__version__ = "0.1.0"
