"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg incident``, ``qimg gate``, ``qimg assess``."""
    return [
        CommandSpec(
            name="incident",
            target="qimg_ops.command_incident:incident",
            summary="freeze evidence, disable routes, list what is affected, close, report",
        ),
        CommandSpec(
            name="gate",
            target="qimg_ops.command_gate:gate",
            summary="one check of a project for CI: cards, manifests, policies, record, comparisons",
        ),
        CommandSpec(
            name="assess",
            target="qimg_ops.command_assess:assess",
            summary="which rows of a checklist the record has evidence for",
        ),
    ]
