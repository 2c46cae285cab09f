"""A pinned baseline: the sets that later samples are compared with, in an entry of the log (imports sets)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_rollout.sets import Sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

KIND = "drift.pinned"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@frozen(kw_only=True)
class Baseline:
    """What an entry ``drift.pinned`` holds."""

    name: str
    entry: int
    digest: str
    sets: Sets = field(repr=False)


def check_name(name: str, what: str) -> str:
    """A name that may stand in an entry.

    Raises:
        ConfigurationError: other characters than lower-case letters, digits, dot, dash and underscore.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{what}: wanted lower-case letters, digits, '.', '-', '_', got {name!r}")
    return name


def pin(ledger: Ledger, name: str, sets: Sets, *, entries: Iterable[int] = (), note: str = "") -> Entry:
    """Pin sets under a name; a later pin of the same name takes its place, the earlier stays on record.

    Args:
        ledger: open for writing.
        name: lower case.
        sets: the samples.
        entries: where the images are from.
        note: why it was pinned; a claim.
    """
    check_name(name, "baseline")
    digest = ledger.put(sets.to_bytes())
    facts = {
        "schema": "qimg.drift-baseline/1",
        "name": name,
        "sizes": sets.sizes,
        "entries": list(entries)[:1000],
        "artefacts": {"sets": digest},
    }
    return ledger.append(KIND, facts=facts, claims={"note": note} if note else {})


def pinned(ledger: Ledger, name: str) -> Baseline:
    """The newest baseline of a name.

    Raises:
        ConfigurationError: none.
        LedgerCorrupt: its artefact is damaged.
    """
    newest, known = None, set()
    for entry in ledger.entries(kind=KIND):
        known.add(entry.facts["name"])
        newest = entry if entry.facts["name"] == name else newest
    if newest is None:
        words = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"no baseline named {name!r}; pinned: {words}", hint=f"qimg drift pin {name}")
    return at(ledger, newest.index)


def at(ledger: Ledger, index: int) -> Baseline:
    """The baseline of one entry."""
    entry = ledger.entry(index)
    if entry.kind != KIND:
        raise ConfigurationError(f"entry {index} is {entry.kind}, wanted {KIND}")
    digest = entry.artefacts["sets"]
    return Baseline(name=entry.facts["name"], entry=index, digest=digest, sets=Sets.from_bytes(ledger.get(digest)))
