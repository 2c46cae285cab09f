"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.hooks import CommandSpec, hookimpl

if TYPE_CHECKING:
    from qimg_core.admission import Context, Decision


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg rollout``, ``qimg drift``."""
    rollout = "signed flags, opt-in cohorts, canaries that roll back, blocked routes"
    drift = "pin a baseline, and test whether images, latents or bit strings changed"
    return [
        CommandSpec(name="rollout", target="qimg_rollout.command:rollout", summary=rollout),
        CommandSpec(name="drift", target="qimg_rollout.command_drift:drift", summary=drift),
    ]


@hookimpl
def qimg_admit(context: Context) -> Decision | None:
    """Refuse plans over blocked routes."""
    from qimg_rollout.blocks import admit

    return admit(context)
