"""Checks over a record that one entry alone cannot show (imports qimg_audit, incidents).

Each answers with a `Shown`; ``holds`` is None where the record has nothing to tell it from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_audit.gaps import find_gaps
from qimg_audit.rate import reproducibility
from qimg_core.ledger.note import open_note
from qimg_core.verdict import Verdict
from qimg_ops.incidents import incidents

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qimg_core.ledger.base import Ledger

REPRODUCIBLE = 0.95
"""Share of repeated things that has to come out again (the service level of reproducibility)."""


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Shown:
    """What a check found.

    Args:
        holds: whether it holds; None where nothing on record tells.
        why: in words.
        entries: the evidence.
        people: what is missing is for people only.
    """

    holds: bool | None
    why: str
    entries: tuple[int, ...] = field(default=(), converter=_numbers)
    people: bool = False


def verifies(ledger: Ledger) -> Shown:
    """Entries, signatures, artefacts and heads hold."""
    done = ledger.verify()
    if not done.ok:
        return Shown(holds=False, why=str(done.problems[0]))
    if not done.entries:
        return Shown(holds=None, why="the record is empty")
    return Shown(holds=True, why=f"{done.entries} entries and {done.signatures} signatures verify")


def no_holes(ledger: Ledger) -> Shown:
    """No run, job, artefact or head is missing without a stated reason."""
    if not len(ledger):
        return Shown(holds=None, why="the record is empty")
    holes = [g for g in find_gaps(ledger) if g.hole]
    if holes:
        return Shown(holds=False, why=f"{len(holes)} holes; {holes[0].where}: {holes[0].what}")
    return Shown(holds=True, why="no holes")


def no_incident(ledger: Ledger) -> Shown:
    """No incident is open."""
    found = incidents(ledger)
    still = [i for i in found if i.open]
    if still:
        return Shown(
            holds=False,
            why=", ".join(f"{i.id} is open" for i in still),
            entries=[e.index for e in still[0].entries[:1]],
        )
    if not len(ledger):
        return Shown(holds=None, why="the record is empty")
    return Shown(holds=True, why=f"none is open, {len(found)} are closed")


def sent_was_decided(ledger: Ledger) -> Shown:
    """Every run that sent jobs was allowed by a policy before the first of them."""
    decided: dict[str | None, int] = {}
    for entry in ledger.entries(kind="policy.decided"):
        if entry.facts.get("verdict") == "allow":
            decided.setdefault(entry.run, entry.index)
    sent: dict[str | None, int] = {}
    for entry in ledger.entries(kind="jobs.intended"):
        sent.setdefault(entry.run, entry.index)
    without = [index for run, index in sent.items() if decided.get(run, index) >= index]
    if without:
        return Shown(holds=False, why=f"{len(without)} runs sent jobs that no policy had allowed", entries=without[:5])
    every = [e.index for e in ledger.entries(kind="policy.decided")]
    if not every:
        return Shown(holds=None, why="no policy has decided anything")
    return Shown(holds=True, why=f"runs that sent jobs: {len(sent)}, each allowed by a policy", entries=every[-1:])


def sent_was_bounded(ledger: Ledger) -> Shown:
    """Every run that sent jobs had a bound of its own or a reservation in a shared budget."""
    bounded = {e.run for e in ledger.entries(kind="budget.reserved")}
    bounds = ("max_cost", "max_jobs", "max_shots")
    for entry in ledger.entries(kind="run.started"):
        if any((entry.facts.get("budget") or {}).get(b) is not None for b in bounds):
            bounded.add(entry.run)
    sent = {e.run: e.index for e in ledger.entries(kind="jobs.intended")}
    without = [index for run, index in sent.items() if run not in bounded]
    if without:
        return Shown(holds=False, why=f"{len(without)} runs sent jobs without any bound", entries=without[:5])
    if not sent:
        return Shown(holds=None, why="nothing was sent to a device that costs")
    return Shown(holds=True, why=f"runs that sent jobs: {len(sent)}, each under a bound", entries=[max(sent.values())])


def two_algorithms(ledger: Ledger) -> Shown:
    """The newest head is signed by keys of two algorithms, one of them after quantum computers."""
    notes = ledger.checkpoints()
    if not notes:
        return Shown(holds=None, why="no head is signed yet")
    found = sorted(set(open_note(notes[-1], ledger.keys).verified))
    return Shown(holds=len(found) > 1, why=f"the newest head is signed with {' and '.join(found)}")


def comes_out_again(ledger: Ledger) -> Shown:
    """At least 95 % of what was repeated came out again, and nothing failed to be told."""
    every = reproducibility(ledger)[-1]
    last = [e.index for e in ledger.entries(kind="replay.compared")][-1:]
    if every.share is None:
        return Shown(holds=None, why="nothing was repeated", entries=last)
    done = every.passed + every.failed
    why = f"{every.passed} of {done} came out again, {every.inconclusive} could not be told"
    return Shown(holds=every.share >= REPRODUCIBLE, why=why, entries=last)


def drift_is_checked(ledger: Ledger) -> Shown:
    """The newest check of drift passed."""
    found = list(ledger.entries(kind="drift.checked"))[-1:]
    if not found:
        return Shown(holds=None, why="drift was never checked")
    said = found[0].facts.get("verdict")
    return Shown(holds=said == Verdict.PASS.value, why=f"the newest check says {said}", entries=[found[0].index])


CHECKS: dict[str, Callable[[Ledger], Shown]] = {
    "verify": verifies,
    "holes": no_holes,
    "incidents": no_incident,
    "decided": sent_was_decided,
    "bounded": sent_was_bounded,
    "algorithms": two_algorithms,
    "reproducible": comes_out_again,
    "drift": drift_is_checked,
}
"""Name, as the data files have it, to the check."""
