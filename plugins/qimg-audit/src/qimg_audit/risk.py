"""What can be audited in a record, and how much each item weighs (imports qimg_core).

An item is a batch of images or a set of trained weights: one entry. Its size is 1 plus the weights of the risk factors
that are present; an item's chance to be drawn is proportional to it.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger.note import Checkpoint, split_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

FACTORS: dict[str, tuple[str, str]] = {
    "hardware": ("2", "a quantum processor ran"),
    "spent": ("2", "the run sent metered jobs"),
    "changed-code": ("1", "the code had changes that are in no commit"),
    "no-weights": ("2", "the images' model was never saved"),
    "unsigned": ("2", "no signed head covers the entry"),
    "unfinished": ("2", "the run did not end well"),
    "fallback": ("1", "another device ran than the one asked for"),
    "never-replayed": ("1", "no replay is on record"),
}
"""Factor -> (default weight, in words)."""


@frozen(kw_only=True)
class Item:
    """One thing that can be audited.

    Args:
        entry: index of its entry.
        kind: "images" or "weights".
        run: that made it.
        factors: that are present, sorted.
        size: 1 plus their weights.
    """

    entry: int
    kind: str
    run: str
    factors: tuple[str, ...]
    size: Decimal


def parse_risk(items: Iterable[str]) -> dict[str, Decimal]:
    """Weights by factor, the defaults where ``factor=weight`` says nothing else; weight 0 switches one off.

    Raises:
        UnknownName: no such factor.
        ConfigurationError: not ``factor=weight``, or a weight that is no number from 0 to 1000.
    """
    out = {name: Decimal(weight) for name, (weight, _) in FACTORS.items()}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals:
            raise ConfigurationError(f"--risk takes FACTOR=WEIGHT, got {item!r}")
        if name not in out:
            raise UnknownName("risk factor", name, out)
        try:
            weight = Decimal(text)
        except InvalidOperation:
            weight = Decimal(-1)
        if not weight.is_finite() or not 0 <= weight <= 1000:
            raise ConfigurationError(f"--risk {name}: wanted a weight from 0 to 1000, got {text!r}")
        out[name] = weight
    return out


def population(ledger: Ledger, weights: Mapping[str, Decimal], *, kinds: Iterable[str]) -> tuple[Item, ...]:
    """Every item of the record with its factors, in the order of the log; what replays made is left out.

    Args:
        ledger: open for reading at least.
        weights: of the factors, see `parse_risk`.
        kinds: "images", "weights".
    """
    runs = _runs(ledger)
    replayed = {(e.facts["of"], e.facts.get("entry")) for e in ledger.entries(kind="replay.compared")}
    covered = max((Checkpoint.parse(split_note(n)[0]).size for n in ledger.checkpoints()), default=0)
    wanted = [("images.made", "images"), ("weights.saved", "weights")]
    entries = [(e, kind) for name, kind in wanted if kind in kinds for e in ledger.entries(kind=name)]
    out = []
    for entry, kind in sorted(entries, key=lambda pair: pair[0].index):
        run = runs.get(str(entry.run), {})
        if run.get("activity") == "replay":
            continue
        present = {
            "hardware": "qpu" in entry.facts.get("device_kinds", ()) or "qpu" in run.get("kinds", ()),
            "spent": run.get("jobs", False),
            "changed-code": run.get("modified", False),
            "no-weights": kind == "images" and entry.facts["weights"] is None,
            "unsigned": entry.index >= covered,
            "unfinished": run.get("status") != "ok",
            "fallback": run.get("fell_back", False),
            "never-replayed": (entry.run, entry.index) not in replayed,
        }
        factors = tuple(sorted(name for name, there in present.items() if there and weights[name] > 0))
        size = 1 + sum((weights[name] for name in factors), Decimal(0))
        out.append(Item(entry=entry.index, kind=kind, run=str(entry.run), factors=factors, size=size))
    return tuple(out)


def digest(items: Iterable[Item]) -> str:
    """``sha256:`` over the whole population with its sizes: what was drawn from, fixed before the draw."""
    lines = [[i.entry, i.kind, i.run, list(i.factors), str(i.size)] for i in items]
    return "sha256:" + hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()


def _runs(ledger: Ledger) -> dict[str, dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {}

    def of(entry: Entry) -> dict[str, Any]:
        return runs.setdefault(str(entry.run), {})

    for entry in ledger.entries(kind="run.started"):
        git = entry.facts.get("git")
        of(entry).update(activity=entry.facts["activity"], modified=git is not None and git["modified"])
    for entry in ledger.entries(kind="run.finished"):
        of(entry).update(status=entry.facts["status"], kinds=entry.facts["device_kinds"])
    for kind, name in (("jobs.intended", "jobs"), ("route.fell_back", "fell_back")):
        for entry in ledger.entries(kind=kind):
            of(entry)[name] = True
    return runs
