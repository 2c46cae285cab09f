"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from qimg_core.hooks import CommandSpec, OutsideMemorySpec, hookimpl


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg witness``."""
    summary = "be a witness: remember the heads of other people's logs, and cosign them"
    return [CommandSpec(name="witness", target="qimg_anchors.command:witness", summary=summary)]


@hookimpl
def qimg_outside_memories() -> list[OutsideMemorySpec]:
    """Witnesses and time stamps."""
    return [
        OutsideMemorySpec(
            name="witness",
            target="qimg_anchors.quorum:WitnessQuorum",
            summary="cosignatures of k of n witnesses over HTTP, by a policy file",
        ),
        OutsideMemorySpec(
            name="timestamp",
            target="qimg_anchors.timestamp:TimeStamp",
            summary="a time stamp of a time-stamping authority over HTTP",
            requires=("rfc3161-client>=1.0.6,<2",),
        ),
    ]
