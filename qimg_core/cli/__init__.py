"""The ``qimg`` command (floor 8). Logic lives in the core; a command reads options, calls it, says what came out."""

from __future__ import annotations

from qimg_core.cli.app import main

__all__ = ["main"]
