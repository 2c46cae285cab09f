"""What this distribution supplies, by name; imports only `qimg_core.hooks`, nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.hooks import CommandSpec, hookimpl

if TYPE_CHECKING:
    from qimg_core.budget import Forecast, Outlook, Reservation, Spend


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg budget``, ``qimg spend``."""
    budget = "limits that several processes share: set, show, reconcile"
    spend = "what was spent, by run, project, day, device or cost centre"
    return [
        CommandSpec(name="budget", target="qimg_budget.command:budget", summary=budget),
        CommandSpec(name="spend", target="qimg_budget.spend_command:spend", summary=spend),
    ]


@hookimpl
def qimg_reserve(spend: Spend) -> Reservation | None:
    """Reserve what a plan may cost in the budget that the ledger pins or ``QIMG_BUDGET`` names; none without either."""
    from qimg_budget.road import reserve

    return reserve(spend)


@hookimpl
def qimg_foresee(forecast: Forecast) -> Outlook | None:
    """What is left in that budget, and whether a plan fits; nothing is reserved."""
    from qimg_budget.foreseeing import foresee

    return foresee(forecast)
