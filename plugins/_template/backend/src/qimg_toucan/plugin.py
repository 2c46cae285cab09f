"""What this distribution supplies (imports qimg_core only)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """The one device of this plugin."""
    return [
        BackendSpec(
            name="toucan",
            target="qimg_toucan.backend:ToucanBackend",
            summary="a small simulator to begin with",
            # requires=("toucan-sdk>=1.2,<2",),
        )
    ]
