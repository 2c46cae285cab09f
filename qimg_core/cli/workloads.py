"""The workloads of a ledger, from its entries alone (imports admission words).

A workload is all runs of the same activity, generator, device, data, purpose, class, decision and weights. Entries are
read once, one after the other; what is kept grows with the workloads, and by a reference for each run.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from qimg_core.admission_words import UNSTATED, Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.entry import Entry

CLASSES = (
    Sensitivity.UNSTATED,
    Sensitivity.PUBLIC,
    Sensitivity.SYNTHETIC,
    Sensitivity.INTERNAL,
    Sensitivity.CONFIDENTIAL,
    Sensitivity.PERSONAL,
    Sensitivity.SPECIAL,
)
"""Rising; a workload's class is the highest that was stated for its runs, or checked for the data behind them."""

NEW_WEIGHTS = "new"


@frozen
class Key:
    """What makes two runs the same workload. ``data`` and ``weights`` are digests; ``data`` also of what the weights
    learned, where this ledger has that training.
    """

    activity: str
    generator: tuple[str, ...]
    backend: tuple[str, ...]
    data: tuple[str, ...]
    purpose: str
    sensitivity: str
    decision: str
    policies: tuple[str, ...]
    weights: tuple[str, ...]


@define
class Workload:
    """Sums over the runs of one key. Amounts are exact, by unit; ``refused`` counts plans."""

    key: Key
    names: dict[str, str] = field(factory=dict)
    tags: set[str] = field(factory=set)
    counts: Counter[str] = field(factory=Counter)
    billed: dict[str, Decimal] = field(factory=dict)
    at_most: dict[str, Decimal] = field(factory=dict)
    first: str = ""
    last: str = ""
    last_run: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: amounts as texts."""
        key = self.key
        return {
            "activity": key.activity,
            "generator": list(key.generator),
            "backend": list(key.backend),
            "data": [{"digest": d, "name": self.names.get(d)} for d in key.data],
            "purpose": key.purpose,
            "class": key.sensitivity,
            "decision": key.decision,
            "policies": list(key.policies),
            "weights": list(key.weights),
            "tags": sorted(self.tags),
            **{name: self.counts[name] for name in COUNTED},
            "billed": {unit: str(amount) for unit, amount in sorted(self.billed.items())},
            "at_most": {unit: str(amount) for unit, amount in sorted(self.at_most.items())},
            "first": self.first,
            "last": self.last,
            "last_run": self.last_run,
        }


_NONE = Key("", (), (), (), UNSTATED, UNSTATED, "", (), ())

COUNTED = ("runs", "open", "failed", "images", "trained", "refused", "fallbacks", "jobs", "jobs_without_a_bill")


@define
class _Run:
    """What is known of one run until it has ended."""

    activity: str = "unknown"
    asked: str = ""
    ended: str = "open"
    ran: set[str] = field(factory=set)
    generator: set[str] = field(factory=set)
    data: set[str] = field(factory=set)
    weights: set[str] = field(factory=set)
    stated: dict[str, str] = field(factory=dict)
    classes: set[str] = field(factory=set)
    policies: set[str] = field(factory=set)
    decision: str = "not asked"
    sums: Workload = field(factory=lambda: Workload(_NONE))


def workloads(entries: Iterable[Entry]) -> list[Workload]:
    """Group the runs of a log, the latest first.

    Args:
        entries: in order; each is read once.
    """
    running: dict[str, _Run] = {}
    done: dict[str, Workload] = {}
    found: dict[Key, Workload] = {}
    learned: dict[str, tuple[dict[str, str], set[str]]] = {}
    for entry in entries:
        if entry.run is None:
            continue
        if entry.run in done:  # e.g. a job that was collected after the end
            _add(done[entry.run], entry)
            continue
        run = running.setdefault(entry.run, _Run())
        _read(run, entry, learned)
        if entry.kind == "run.finished" and entry.facts["status"] == "ok":
            done[entry.run] = _close(running.pop(entry.run), found)
    for run in running.values():  # not ended, or ended otherwise and perhaps to be resumed
        _close(run, found)
    return sorted(found.values(), key=lambda w: w.last, reverse=True)


def _read(run: _Run, entry: Entry, learned: dict[str, tuple[dict[str, str], set[str]]]) -> None:
    """Take in one entry of a run. ``learned``: weights -> digests and names of their data, and the data's classes."""
    facts, sums, kind = entry.facts, run.sums, entry.kind
    sums.first = sums.first or entry.time
    if kind in ("run.started", "run.resumed"):
        run.activity, run.asked, run.ended = facts["activity"], facts["backend"], "open"
        run.stated = {k: str(v) for k, v in entry.claims.items()}
        run.classes.add(run.stated.get("sensitivity", UNSTATED))
        sums.tags |= {f"{k}={v}" for k, v in run.stated.items() if k in _TAGGED}
        sums.tags |= {"light record"} if facts["profile"] == "light" else set()
        sums.tags |= {f"{name} not stated" for name in ("purpose", "sensitivity") if name not in run.stated}
    elif kind == "training.started":
        _data(run, facts)
        run.generator.add(facts["generator"])
        run.weights.add(NEW_WEIGHTS)
    elif kind == "data.checked":
        run.classes.add(str(facts.get("stated", {}).get("sensitivity", UNSTATED)))
        if facts.get("state"):
            sums.tags.add(f"manifest {facts['state']}")
    elif kind == "data.refused":
        _data(run, facts)
        run.decision = "refused"
    elif kind == "weights.saved":
        _data(run, facts)
        learned[facts["digest"]] = (dict(sums.names), set(run.classes))
    elif kind == "images.made":
        run.generator.add(facts["generator"])
        word = "no quantum part" if not facts["quantum"] else "simulated" if facts["simulated"] else "quantum hardware"
        sums.tags.add(word)
        if run.activity != "train" and facts["weights"] is not None:
            names, classes = learned.get(facts["weights"], ({}, set()))
            sums.names |= names
            run.data |= set(names)
            run.classes |= classes
            run.weights.add(facts["weights"])
    elif kind == "plan.admitted":
        run.decision = "allowed" if facts["policies"] else run.decision
        run.ran.add(facts["backend"])
        sums.tags.add(f"device {facts['device_kind']}")
    elif kind == "plan.refused":
        run.decision = "allowed" if run.decision == "allowed" else "refused"
    elif kind == "policy.decided":
        run.policies.add(str(facts.get("policy") or facts.get("schema") or "unnamed"))
    elif kind == "run.finished":
        run.ended = "ok" if facts["status"] == "ok" else "failed"
    _add(sums, entry)


_TAGGED = ("consent", "region", "export_class", "risk_tier")


def _data(run: _Run, facts: dict[str, Any]) -> None:
    data = facts["data"]
    run.data.add(data["digest"])
    run.sums.names[data["digest"]] = data["name"]


def _add(sums: Workload, entry: Entry) -> None:
    """What is only counted."""
    facts, counts, kind = entry.facts, sums.counts, entry.kind
    if entry.time >= sums.last:
        sums.last, sums.last_run = entry.time, str(entry.run)
    if kind == "images.made":
        counts["images"] += facts["n"]
    elif kind == "weights.saved":
        counts["trained"] += 1
    elif kind in ("plan.refused", "data.refused"):
        counts["refused"] += 1
        sums.tags.add("a plan was refused")
    elif kind == "images.withheld":
        sums.tags.add("images were withheld")
    elif kind == "route.fell_back":
        counts["fallbacks"] += 1
        sums.tags.add("fell back")
    elif kind == "plan.admitted":
        high, unit = facts["cost"]["high"], facts["cost"]["unit"]
        if high is None:
            sums.tags.add("price not known")
        elif Decimal(high):
            sums.at_most[unit] = sums.at_most.get(unit, Decimal(0)) + Decimal(high)
    elif kind == "job.finished":
        counts["jobs"] += 1
        bill = facts["billed"]
        if bill is None or bill["high"] is None:
            counts["jobs_without_a_bill"] += 1
        else:
            sums.billed[bill["unit"]] = sums.billed.get(bill["unit"], Decimal(0)) + Decimal(bill["high"])


def _close(run: _Run, found: dict[Key, Workload]) -> Workload:
    """Add a run to its workload."""
    key = Key(
        activity=run.activity,
        generator=tuple(sorted(run.generator)),
        backend=tuple(sorted(run.ran)) or (run.asked,),
        data=tuple(sorted(run.data)),
        purpose=run.stated.get("purpose", UNSTATED),
        sensitivity=max(run.classes or {UNSTATED}, key=_rank),
        decision=run.decision,
        policies=tuple(sorted(run.policies)),
        weights=tuple(sorted(run.weights)),
    )
    total = found.setdefault(key, Workload(key))
    sums = run.sums
    total.names |= sums.names
    total.tags |= sums.tags
    total.counts += sums.counts + Counter(["runs", *([run.ended] if run.ended != "ok" else [])])
    for mine, other in ((total.billed, sums.billed), (total.at_most, sums.at_most)):
        for unit, amount in other.items():
            mine[unit] = mine.get(unit, Decimal(0)) + amount
    total.first = min(total.first or sums.first, sums.first)
    if sums.last >= total.last:
        total.last, total.last_run = sums.last, sums.last_run
    return total


def _rank(word: str) -> int:
    return CLASSES.index(Sensitivity(word)) if word in list(Sensitivity) else len(CLASSES)
