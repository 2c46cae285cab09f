"""What qimg-classical supplies (imports qimg_core only, nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, CommandSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """The classical path."""
    return [
        BackendSpec(
            name="classical",
            target="qimg_classical.backend:ClassicalBackend",
            summary="exact simulation under a size bound, above it a surrogate that says so",
            devices="the file of a surrogate, or nothing",
        )
    ]


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg surrogate``."""
    summary = "Fit a classical stand-in for a circuit from recorded proposals."
    return [CommandSpec(name="surrogate", target="qimg_classical.command:surrogate", summary=summary)]
