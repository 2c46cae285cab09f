"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg evaluate``."""
    summary = "sample images and measure them against real ones, arms side by side"
    return [CommandSpec(name="evaluate", target="qimg_metrics.command:evaluate", summary=summary)]
