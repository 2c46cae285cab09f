"""An audit by sample from beginning to end: plan, draw, check, report, each of them on record (imports the rest)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from qimg_audit.checking import check
from qimg_audit.report import document, html, markdown
from qimg_audit.risk import digest, population
from qimg_audit.sampling import draw, probabilities
from qimg_core.errors import ConfigurationError
from qimg_core.storage import ensure_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal
    from pathlib import Path

    from qimg_core.budget import Budget
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.plugins import Registry

PLANNED, SAMPLED = "audit.planned", "audit.sampled"


def audit_sample(
    ledger: Ledger,
    *,
    n: int,
    weights: Mapping[str, Decimal],
    kinds: Iterable[str] = ("images", "weights"),
    seed: int | None = None,
    registry: Registry,
    replay: bool = True,
    budget: Budget | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], Entry]:
    """Draw n items by risk, check each, write plan and report into the ledger.

    ``audit.planned`` holds the digest of the population with its sizes, the seed and the drawn entries, and is durable
    before the first item is looked at: a draw that somebody did not like stays on record.

    Args:
        ledger: open for writing.
        n: how many.
        weights: of the risk factors, see `parse_risk`.
        kinds: "images", "weights".
        seed: of the draw; drawn where it is not given.
        registry: the plugins, for replays.
        replay: make images again.
        budget: what each replay may spend; by default nothing.
        progress: told one line for each item.

    Returns:
        the report, and its entry.

    Raises:
        ConfigurationError: more items are asked than there are.
    """
    root = secrets.randbits(62) if seed is None else seed
    items = population(ledger, weights, kinds=tuple(kinds))
    if not items:
        raise ConfigurationError("the record holds nothing of that kind", hint="qimg ledger log")
    chances = probabilities([float(item.size) for item in items], n)
    chosen = draw(chances, root)
    listed = json.dumps(
        [
            {"entry": i.entry, "size": str(i.size), "chance": repr(float(c))}
            for i, c in zip(items, chances, strict=True)
        ],
        separators=(",", ":"),
    )
    plan: dict[str, Any] = {
        "schema": "qimg.audit.plan/1",
        "log": ledger.origin,
        "n": n,
        "of": len(items),
        "seed": str(root),
        "risk": {name: str(weight) for name, weight in sorted(weights.items())},
        "kinds": sorted(kinds),
        "replay": replay,
        "population": digest(items),
        "entries": [items[i].entry for i in chosen][:1000],
        "artefacts": {"population": ledger.put(listed.encode())},
    }
    planned = ledger.append(PLANNED, facts=plan)
    checked = []
    for position, i in enumerate(chosen, 1):
        done = check(ledger, items[i], float(chances[i]), registry=registry, replay=replay, budget=budget)
        checked.append(done)
        if progress is not None:
            progress(f"{position} of {n}: entry {items[i].entry}, {items[i].kind}: {done.verdict.value}")
    report = document(checked, plan, len(items))
    text = json.dumps(report, sort_keys=True, separators=(",", ":")).encode()
    facts = {
        "schema": report["schema"],
        "plan": planned.index,
        "counts": report["counts"],
        "failures": report["failures"],
        "failures_at_most": report["failures_at_most"],
        "artefacts": {"report": ledger.put(text)},
    }
    entry = ledger.append(SAMPLED, facts=facts)
    ledger.checkpoint()
    return report, entry


def write_report(report: dict[str, Any], path: Path) -> list[str]:
    """Write ``.md``, ``.html`` and ``.json`` side by side; returns their names."""
    ensure_folder(path.parent)
    texts = {
        ".md": markdown(report),
        ".html": html(report),
        ".json": json.dumps(report, indent=2, sort_keys=True) + "\n",
    }
    for suffix, text in texts.items():
        write_atomic(path.with_suffix(suffix), text.encode())
    return [str(path.with_suffix(suffix)) for suffix in texts]
