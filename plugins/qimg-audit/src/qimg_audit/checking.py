"""Auditing one item: is it under a signed head, are its bytes there, does it come out again? (imports qimg_core)"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.cli.evidence import prove
from qimg_core.errors import BudgetExceeded, ConfigurationError, LedgerCorrupt, LedgerError, QimgError, StorageError
from qimg_core.images import pixels_from_bytes
from qimg_core.replay import replay_images
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_audit.risk import Item
    from qimg_core.budget import Budget
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.plugins import Registry


@frozen(kw_only=True)
class Step:
    """One check of an item, with its verdict in words."""

    name: str
    verdict: Verdict
    said: str


@frozen(kw_only=True)
class Checked:
    """An audited item.

    Args:
        item: what was drawn.
        chance: of being drawn.
        steps: every check.
    """

    item: Item
    chance: float
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail where any check fails; inconclusive where one could not be made; else pass."""
        found = {step.verdict for step in self.steps}
        for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            if worst in found:
                return worst
        return Verdict.PASS

    def to_json(self) -> dict[str, Any]:
        """For reports and artefacts, without floats."""
        item = self.item
        return {
            "entry": item.entry,
            "kind": item.kind,
            "run": item.run,
            "factors": list(item.factors),
            "size": str(item.size),
            "chance": repr(self.chance),
            "verdict": self.verdict.value,
            "steps": [{"name": s.name, "verdict": s.verdict.value, "said": s.said} for s in self.steps],
        }


def check(
    ledger: Ledger, item: Item, chance: float, *, registry: Registry, replay: bool = True, budget: Budget | None = None
) -> Checked:
    """Verify an item, and replay it where that can be done.

    Args:
        ledger: open for writing where it replays.
        item: from the population.
        chance: of being drawn.
        registry: the plugins.
        replay: make images again; a training is not repeated here, see ``qimg replay``.
        budget: what each replay may spend; by default nothing.
    """
    return Checked(item=item, chance=chance, steps=tuple(_steps(ledger, item, registry, replay, budget)))


def _steps(ledger: Ledger, item: Item, registry: Registry, replay: bool, budget: Budget | None) -> Iterator[Step]:
    try:
        entry = ledger.entry(item.entry)
    except (LedgerError, LedgerCorrupt) as error:
        yield Step(name="entry", verdict=Verdict.FAIL, said=error.message)
        return
    proof = prove(ledger, entry)
    yield Step(name="signed", verdict=proof.verdict, said=proof.reason)
    yield _bytes(ledger, entry)
    if item.kind == "images":
        yield _pixels(ledger, entry)
    if not replay:
        return
    if item.kind == "weights":
        said = f"a training is repeated with its data: qimg replay {item.run} --data ..."
        yield Step(name="replay", verdict=Verdict.NOT_APPLICABLE, said=said)
        return
    yield _replay(ledger, item, registry, budget)


def _bytes(ledger: Ledger, entry: Entry) -> Step:
    bad = []
    for name, digest in entry.artefacts.items():
        try:
            ledger.get(digest)
        except (LedgerError, StorageError) as error:
            bad.append(f"{name}: {error.message}")
    count = len(entry.artefacts)
    said = "; ".join(bad) or f"{count} artefacts are stored and have their digests"
    return Step(name="artefacts", verdict=Verdict.FAIL if bad else Verdict.PASS, said=said)


def _pixels(ledger: Ledger, entry: Entry) -> Step:
    """The pixels, their digest and each image's digest fit together: computed from the stored bytes."""
    from qimg_core.images import Images

    try:
        data = ledger.get(entry.artefacts["pixels"])
        each = json.loads(ledger.get(entry.artefacts["image_digests"]))
        pixels = pixels_from_bytes(data)
    except (KeyError, QimgError, ValueError) as error:
        return Step(name="pixels", verdict=Verdict.FAIL, said=f"they cannot be read: {error}")
    found = Images(pixels=pixels / 255, labels=None, quantum=False, simulated=False)
    wrong = []
    if "sha256:" + hashlib.sha256(data).hexdigest() != entry.facts["pixels"]:
        wrong.append("the stored pixels are not those of the entry")
    if list(found.digests()) != each:
        wrong.append("the digests of the single images do not fit the pixels")
    if list(pixels.shape) != entry.facts["shape"] or len(pixels) != entry.facts["n"]:
        wrong.append(f"shape {list(pixels.shape)}, the entry says {entry.facts['shape']}")
    said = "; ".join(wrong) or f"{len(pixels)} images have the digests of the entry"
    return Step(name="pixels", verdict=Verdict.FAIL if wrong else Verdict.PASS, said=said)


def _replay(ledger: Ledger, item: Item, registry: Registry, budget: Budget | None) -> Step:
    try:
        done = replay_images(ledger, entry=item.entry, registry=registry, budget=budget)
    except BudgetExceeded as error:
        said = f"the device costs, and nothing may be spent: {error.message}"
        return Step(name="replay", verdict=Verdict.INCONCLUSIVE, said=said)
    except LedgerCorrupt as error:
        return Step(name="replay", verdict=Verdict.FAIL, said=error.message)
    except (LedgerError, ConfigurationError) as error:  # never saved, or the plugin is not here
        return Step(name="replay", verdict=Verdict.INCONCLUSIVE, said=error.message)
    except QimgError as error:
        said = f"it could not be made again: {type(error).__name__}: {error.message}"
        return Step(name="replay", verdict=Verdict.INCONCLUSIVE, said=said)
    said = f"run {done.new_run}: {done.first_difference or 'equal to the byte'}"
    return Step(name="replay", verdict=done.verdict, said=said)
