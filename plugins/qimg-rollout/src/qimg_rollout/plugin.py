"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.hooks import CommandSpec, hookimpl

if TYPE_CHECKING:
    from qimg_core.admission import Context, Decision
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg rollout``, ``qimg drift``."""
    rollout = "signed flags, opt-in cohorts, canaries that roll back, blocked routes"
    drift = "pin a baseline, and test whether images, latents or bit strings changed"
    return [
        CommandSpec(name="rollout", target="qimg_rollout.command:rollout", summary=rollout),
        CommandSpec(name="drift", target="qimg_rollout.command_drift_kernel:drift", summary=drift),
    ]


@hookimpl
def qimg_admit(context: Context) -> Decision | None:
    """Refuse plans over blocked routes, also those that another process has just stopped."""
    from qimg_rollout.stopping import admit

    return admit(context)


@hookimpl
def qimg_screen(images: Images, context: Context) -> Decision | None:
    """Withhold images of blocked weights."""
    from qimg_rollout.stopping import screen

    return screen(context)


@hookimpl
def qimg_standing(ledger: Ledger) -> str | None:
    """Changes with the blocks."""
    from qimg_rollout.stopping import standing

    return standing(ledger)
