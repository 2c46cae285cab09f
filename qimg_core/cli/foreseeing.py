"""What budgets that several runs share say of a plan (imports budget, planning, the ledger's opening)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from qimg_core.backend import LocalBackend
from qimg_core.budget import Forecast, Outlook
from qimg_core.cli.output import fields
from qimg_core.errors import PolicyError
from qimg_core.ledger.opening import has_ledger, open_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App
    from qimg_core.planning import SamplingPlan
    from qimg_core.session import Session


def outlooks(app: App, session: Session, found: SamplingPlan, where: str) -> tuple[Outlook, ...]:
    """The answers of ``qimg_foresee``; none for free work in this process, which no budget is asked about.

    Args:
        app: its plugins.
        session: that planned.
        found: the plan.
        where: the ledger that the run would write; it is only read, and not made.

    Raises:
        QimgError: a budget cannot be used, so the road would refuse as well.
    """
    hooks = app.registry.hooks.hook.qimg_foresee.get_hookimpls()
    first = found.first
    if first is None or not hooks:
        return ()
    if isinstance(session.backend(first.backend), LocalBackend) and found.cost.is_free:
        return ()
    with ExitStack() as stack:
        ledger = None
        if has_ledger(where):
            ledger = stack.enter_context(open_ledger(where, app.registry, create=False, read_only=True))
        forecast = Forecast(plan=first, cost=found.cost, jobs=found.jobs, rows=found.workload.rows, ledger=ledger)
        answers = []
        for impl in hooks:
            try:
                answers.append(impl.function(*[forecast for _ in impl.argnames]))
            except PolicyError as error:  # e.g. the budget that the ledger demands is not named
                answers.append(Outlook(name=f"budget of {impl.plugin_name}", refused=error))
        return tuple(a for a in answers if isinstance(a, Outlook))


def chain_after(session: Session, found: SamplingPlan) -> tuple[str, ...]:
    """The devices that the chain would go on with where the planned one is refused; it may be a fallback itself."""
    name = None if found.first is None else found.first.backend
    return session.chain[session.chain.index(name) + 1 if name in session.chain else 1 :]


def shared_lines(shared: Sequence[Outlook], later: Sequence[str]) -> list[str]:
    """For people: each budget, what is left in it, and whether the plan fits."""
    lines = []
    for one in shared:
        word = "would be admitted" if one.refused is None else f"would be refused: {one.refused.message}"
        if one.refused is not None and later:
            word += f"; the chain would go on with {later[0]}"
        lines += [f"{one.name}: {word}", *fields([*one.lines, *(("warning", w) for w in one.warnings)])]
    return lines
