"""What qimg-ibm supplies (imports nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """None yet."""
    return []
