"""The toucan device for qimg. Nothing heavy is imported here."""

from __future__ import annotations

__version__ = "0.1.0"
