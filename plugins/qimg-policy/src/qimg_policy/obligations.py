"""What an admitted run owes, and whether it is met: before its images leave, and from the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.admission import Decision
from qimg_core.admission_words import Obligation
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.admission import Context
    from qimg_core.ledger.base import Ledger

MARKS = frozenset({Obligation.C2PA, Obligation.WATERMARK, Obligation.LABEL})
"""Met by a plugin that marks images and names the mark in its module's ``MARKS``."""

KEPT = "checkpoint.kept"


def screen(context: Context) -> Decision | None:
    """Refuse images whose run cannot meet its obligations; None where there are none.

    Marks are made after this: what counts here is that a plugin will make them. `qimg policy check` looks at what was
    done.
    """
    owed = context.obligations
    if not owed:
        return None
    reasons = [reason for name in owed if (reason := _unmet(name, context))]
    if not reasons:
        return Decision(verdict="allow", policy="obligations", obligations=owed)
    return Decision(verdict="deny", policy="obligations", reasons=tuple(reasons))


def _unmet(name: str, context: Context) -> str:
    if name in MARKS:
        made = ", ".join(context.marks) or "none"
        return "" if name in context.marks else f"{name} is owed, and no plugin makes it (marks made here: {made})"
    if name == Obligation.FULL_RECORD:
        full = context.asked is not None and context.asked.facts.get("recorded") == "full"
        return "" if full else "full_record is owed, and this run is recorded lightly: use the profile full"
    if name == Obligation.OUTSIDE_MEMORY:
        kept = context.asked is not None and any(True for _ in context.asked.ledger().entries(kind=KEPT))
        return "" if kept else "outside_memory is owed, and nobody outside has ever kept a head of this log"
    return f"{name} is owed, and this version does not know what that is"


@frozen(kw_only=True)
class Owed:
    """One obligation of a run, and what the record says of it."""

    obligation: str
    verdict: Verdict
    reason: str


def from_record(ledger: Ledger, run: str) -> tuple[Owed, ...]:
    """Each obligation of a run that made images, judged by its entries."""
    owed: set[str] = set()
    made, full, last = [], True, 0
    for entry in ledger.entries(run=run):
        facts, last = entry.facts, entry.index
        if entry.kind == "policy.decided" and facts["verdict"] == "allow":
            owed |= set(facts["obligations"])
        elif entry.kind == "images.made":
            made.append((entry.index, facts))
        elif entry.kind == "run.started":
            full = facts["profile"] == "full"
    later = _later(ledger, run)
    sizes = [int(e.facts["size"]) for e in ledger.entries(kind=KEPT) if isinstance(e.facts.get("size"), int)]
    found = []
    for name in sorted(owed):
        if not made:
            verdict, reason = Verdict.NOT_APPLICABLE, "the run made no images, or they were withheld"
        elif name in MARKS:
            verdict, reason = _marked(name, [_marks(f) | later.get(index, set()) for index, f in made])
        elif name == Obligation.FULL_RECORD:
            verdict, reason = (Verdict.PASS, "recorded in full") if full else (Verdict.FAIL, "recorded lightly")
        elif name == Obligation.OUTSIDE_MEMORY:
            good = max(sizes, default=0) > last
            reason = "a head over this run is kept outside" if good else "no head over this run is kept outside yet"
            verdict = Verdict.PASS if good else Verdict.INCONCLUSIVE
        else:
            verdict, reason = Verdict.INCONCLUSIVE, "not known to this version"
        found.append(Owed(obligation=name, verdict=verdict, reason=reason))
    return tuple(found)


def _later(ledger: Ledger, run: str) -> dict[int, set[str]]:
    """Marks of pictures that were marked after they were made, by the entry of their images."""
    found: dict[int, set[str]] = {}
    for entry in ledger.entries(kind="images.marked"):
        of, layers = entry.facts.get("of"), entry.facts.get("layers")
        if (
            isinstance(of, dict)
            and of.get("run") == run
            and isinstance(of.get("entry"), int)
            and isinstance(layers, list)
        ):
            found.setdefault(of["entry"], set()).update(str(a["layer"]) for a in layers if "layer" in a)
    return found


def _marked(name: str, made: list[set[str]]) -> tuple[Verdict, str]:
    if all(name in marks for marks in made):
        return Verdict.PASS, "every entry of images names it"
    if all(name in marks or marks - set(Obligation) for marks in made):
        return Verdict.INCONCLUSIVE, "the entries name plugins that marked, and not their marks"
    return Verdict.FAIL, "an entry of images lacks it"


def _marks(facts: dict[str, object]) -> set[str]:
    marks = facts.get("marks")
    return {str(m) for m in marks} if isinstance(marks, list) else set()
