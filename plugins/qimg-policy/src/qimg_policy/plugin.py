"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.hooks import CommandSpec, hookimpl

if TYPE_CHECKING:
    from qimg_core.admission import Context, Decision
    from qimg_core.execution import Plan
    from qimg_core.images import Images


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg policy``."""
    summary = "write, test, sign and pin policies; approve; decide again from the record"
    return [CommandSpec(name="policy", target="qimg_policy.command:policy", summary=summary)]


@hookimpl
def qimg_admit(plan: Plan, context: Context) -> Decision | None:
    """Decide a plan by the policy that the ledger pins or the environment names; abstain where there is none."""
    from qimg_policy.gate import admit

    return admit(plan, context)


@hookimpl
def qimg_screen(images: Images, context: Context) -> Decision | None:
    """Withhold images whose run cannot meet what its admission obliged it to."""
    from qimg_policy.obligations import screen

    return screen(context)
