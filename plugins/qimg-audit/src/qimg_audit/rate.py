"""How much of a record came out again: the reproducibility rate from its replays (imports qimg_core, qimg_metrics).

A replay that could not tell is counted apart; it is neither a success nor a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.verdict import Verdict
from qimg_metrics.bootstrap import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

_PRODUCTS = ("images", "weights", "requests")


@frozen(kw_only=True)
class Rate:
    """Replays of one product, the last one of each thing that was repeated.

    Args:
        product: "images", "weights", "requests", or "all".
        passed, failed, inconclusive: how the last replays ended.
        never: things on record that nobody repeated; None for requests and for all.
        share: passed of those that passed or failed; None where there are none.
        low, high: Wilson interval of the share at 95 %.
    """

    product: str
    passed: int
    failed: int
    inconclusive: int
    never: int | None
    share: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        from attrs import asdict

        return asdict(self)


def reproducibility(ledger: Ledger) -> tuple[Rate, ...]:
    """The rate of each product that was repeated, then of all together.

    Each thing counts once, by its last replay, so that repeating a good one often does not raise the rate. The
    interval takes the things as independent draws: that is so for a drawn sample (``qimg audit sample``), and
    not for what somebody chose.
    """
    last: dict[tuple[str, str, object], Entry] = {}
    for entry in ledger.entries(kind="replay.compared"):
        facts = entry.facts
        last[_product(ledger, entry), facts["of"], facts.get("entry")] = entry
    made = {
        "images": {(e.run, e.index) for e in _originals(ledger, "images.made")},
        "weights": {(e.run, e.index) for e in _originals(ledger, "weights.saved")},
    }
    rates = []
    for product in _PRODUCTS:
        mine = {(of, entry): e for (p, of, entry), e in last.items() if p == product}
        never = len(made[product] - set(mine)) if product in made else None
        if mine or never:
            rates.append(_rate(product, mine.values(), never))
    return (*rates, _rate("all", last.values(), None))


def _originals(ledger: Ledger, kind: str) -> Iterable[Entry]:
    repeats = {e.run for e in ledger.entries(kind="run.started") if e.facts["activity"] == "replay"}
    return (e for e in ledger.entries(kind=kind) if e.run not in repeats)


def _product(ledger: Ledger, entry: Entry) -> str:
    found = entry.facts.get("product")
    if found is not None:
        return str(found)
    was = ledger.entry(entry.facts["entry"])  # before replays named it
    return "weights" if was.kind == "weights.saved" else "images"


def _rate(product: str, entries: Iterable[Entry], never: int | None) -> Rate:
    verdicts = [e.facts["verdict"] for e in entries]
    passed, failed = verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL)
    share = low = high = None
    if passed + failed:
        share = passed / (passed + failed)
        low, high = wilson(passed, passed + failed)
    return Rate(
        product=product,
        passed=passed,
        failed=failed,
        inconclusive=len(verdicts) - passed - failed,
        never=never,
        share=share,
        low=low,
        high=high,
    )
