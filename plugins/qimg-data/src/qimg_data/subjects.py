"""People in a dataset by keyed hashes, and their opting out (imports ledger's vault and sealing, tracing).

A person's hash is the tag that sealed artefacts bear (`qimg_core.ledger.vault`): HMAC-SHA256 of a random key of their
own, 32 hex digits. Destroying that key unseals nothing any more, and nothing links the hash to a name again.
"""

from __future__ import annotations

import csv
import datetime as dt
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger import canonical
from qimg_core.ledger.sealing import forget, forgotten
from qimg_core.ledger.vault import Vault
from qimg_core.storage import storage_error
from qimg_core.trace_graph import NodeKind
from qimg_core.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

OPTED_OUT = "data.opted_out"
INLINE = 200
"""Longer lists become an artefact, as an entry has at most 65,535 bytes."""


def read_subjects(path: Path) -> dict[str, list[str]]:
    """A CSV with the columns ``file`` and ``subject``: subject -> files.

    Raises:
        DataError: other columns, an empty cell, or no rows.
        StorageError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name}: not a CSV in UTF-8") from error
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 2):
        subject, name = row.get("subject"), row.get("file")
        if not subject or not name:
            raise DataError(f"{path.name}, line {number}: wanted the columns file and subject, neither empty")
        found.setdefault(subject.strip(), []).append(name.strip())
    if not found:
        raise DataError(f"{path.name}: no rows")
    return found


def tags(vault: Vault, subjects: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The same by keyed hashes; a key is made for who has none."""
    return {
        vault.key(name, create=True).tag.hex(): tuple(sorted(set(files))) for name, files in sorted(subjects.items())
    }


@frozen(kw_only=True)
class Affected:
    """What came of some data, by a ledger.

    Args:
        data: digests of the images that were learned.
        weights: digests.
        images: entries that made images.
        runs: that trained or made images.
    """

    data: tuple[str, ...]
    weights: tuple[str, ...]
    images: tuple[int, ...]
    runs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "data": list(self.data),
            "weights": list(self.weights),
            "images": list(self.images),
            "runs": list(self.runs),
        }


def affected(ledger: Ledger, data: Iterable[str]) -> Affected:
    """Weights, images and runs that came of these data, through weights that were trained on, too."""
    digests = tuple(dict.fromkeys(data))
    weights: dict[str, None] = {}
    images: dict[int, None] = {}
    runs: dict[str, None] = {}
    for digest in digests:
        try:
            graph = trace(ledger, f"data:{digest}", back=False, forward=True)
        except ConfigurationError:  # checked, and the training ended before it began
            continue
        for node in graph.nodes.values():
            name = node.id.partition(":")[2]
            if node.kind is NodeKind.WEIGHTS:
                weights[name] = None
            elif node.kind is NodeKind.IMAGES:
                images[int(name)] = None
            elif node.kind is NodeKind.RUN:
                runs[name] = None
    return Affected(data=digests, weights=tuple(weights), images=tuple(sorted(images)), runs=tuple(sorted(runs)))


def data_of(ledger: Ledger, tag: str) -> tuple[str, ...]:
    """Digests of the data that were learned under a manifest that names this subject."""
    found: dict[str, None] = {}
    for entry in ledger.entries(kind="data.checked"):
        named = entry.artefacts.get("subjects")
        if named is not None and tag in canonical.loads(ledger.get(named)):
            found[str(entry.facts["data"])] = None
    return tuple(found)


def opt_out(ledger: Ledger, subject: str, vault: Vault | None = None) -> tuple[Entry, Affected]:
    """Record what a person's opting out affects, then destroy their key. Done again after a stop, it goes on.

    Args:
        ledger: open for writing.
        subject: the name under which the person's files, tokens and artefacts are kept.
        vault: the subjects' keys; those beside the ledger by default.

    Raises:
        ConfigurationError: no such subject.
        LedgerError, StorageError.
    """
    vault = vault or Vault.of(ledger)
    try:
        tag = vault.key(subject).tag.hex()
    except ConfigurationError:  # stopped after the key was destroyed: `forget` goes on, or says that there is nobody
        tag = str(forget(ledger, subject, vault).facts["subject"])
    found = affected(ledger, data_of(ledger, tag))
    earlier = [e for e in ledger.entries(kind=OPTED_OUT) if e.facts["subject"] == tag]
    entry = earlier[-1] if earlier else ledger.append(OPTED_OUT, facts=_facts(ledger, tag, found))
    if tag not in forgotten(ledger):
        forget(ledger, subject, vault)
    return entry, found


def _facts(ledger: Ledger, tag: str, found: Affected) -> dict[str, Any]:
    document = found.to_json()
    facts: dict[str, Any] = {
        "schema": "qimg.opt-out/1",
        "subject": tag,
        "counts": {name: len(values) for name, values in document.items()},
    }
    if sum(len(values) for values in document.values()) <= INLINE:
        return {**facts, "affected": document}
    return {**facts, "artefacts": {"affected": ledger.put(canonical.dumps(document))}}


def expired(ledger: Ledger, today: dt.date) -> list[dict[str, Any]]:
    """Data that were learned and whose retention has ended: ``data``, ``until``, ``entry``, and what came of them."""
    newest: dict[str, Entry] = {}
    for entry in ledger.entries(kind="data.checked"):
        newest[str(entry.facts["data"])] = entry  # a later manifest may have prolonged it
    found = []
    for digest, entry in newest.items():
        until = entry.facts.get("retention_until")
        if until and today > dt.date.fromisoformat(until):
            found.append(
                {"data": digest, "until": until, "entry": entry.index, "affected": affected(ledger, [digest]).to_json()}
            )
    return found
