"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy.

Its export formats are entry points of the group ``qimg.exporters``.
"""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg audit``."""
    summary = "look for gaps, compare with bills, draw and check samples, rate reproducibility"
    return [CommandSpec(name="audit", target="qimg_audit.command:audit", summary=summary)]
