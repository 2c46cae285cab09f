"""Every entry of a stored log, once through, in memory that does not grow (imports errors, entry, merkle, named).

Two ways lead through an entry. The strict one reads its body, writes it anew in canonical form and compares. The
fast one hashes the body, compares hash, place and index columns, and reads no JSON except where the body names
artefacts. It is taken for entries that a signed head covers: if the root holds, their bytes are those that
were signed, so no edit, loss, insertion or reordering passes; what it takes on trust is that whoever signed
wrote canonical JSON of the right fields. Entries after the last head, and each that the fast way does not
find in order, are read strictly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.entry import DIGEST, Entry, ends_as
from qimg_core.ledger.merkle import Frontier, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.named import NamedArtefacts
    from qimg_core.ledger.note import Checkpoint
    from qimg_core.ledger.verify import Findings, Row

_NAMES = b'"artefacts":{"'  # in canonical form, in every body that names an artefact
_MOST_PENDING = 1024


class RowCheck:
    """Compares rows, given in order, with each other and with signed heads.

    Args:
        heads: the signed heads that hold.
        named: receives the digests of artefacts that entries name.
        strict: read every body strictly.
    """

    def __init__(self, heads: Iterable[Checkpoint], named: NamedArtefacts, found: Findings, *, strict: bool) -> None:
        self.count = 0
        self._by_size: dict[int, list[Checkpoint]] = {}
        for head in heads:
            self._by_size.setdefault(head.size, []).append(head)
        self._covered = 0 if strict else max(self._by_size, default=0)
        self._named, self._found = named, found
        self._frontier = Frontier()
        self._pending: list[bytes] = []  # leaf hashes on their way into the frontier
        self._intact = True
        self._trusted = 0  # entries below this are under a signed root that holds
        self._expected = 0

    def run(self, rows: Iterable[Row]) -> int:
        """Check all rows. Returns how many there are."""
        self._compare(0)
        pending, by_size, covered = self._pending, self._by_size, self._covered
        for row in rows:
            self.count += 1
            if row.index != self._expected:
                self._jump(row.index)
            self._expected += 1
            if row.index < covered and self._fast(row):
                pending.append(row.leaf)
            elif (leaf := self._strict(row)) is not None:
                pending.append(leaf)
            else:
                continue
            if self._expected in by_size:
                self._compare(self._expected)
            elif len(pending) >= _MOST_PENDING:
                self._flush()
        there = self._expected
        for size in sorted(size for size in by_size if size > there):
            self._found.add(f"checkpoint {size}", f"signed over {size} entries, and there are {there}", there)
        return self.count

    def _fast(self, row: Row) -> bool:
        """Is all in order as far as bytes tell? Notes the artefacts that it names."""
        body = row.body
        if leaf_hash(body) != row.leaf or not ends_as(body, row.index, row.run, row.kind, row.time):
            return False
        if _NAMES in body:
            try:
                digests = list(json.loads(body)["facts"].get("artefacts", {}).values())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return False
            if not all(isinstance(digest, str) and DIGEST.fullmatch(digest) for digest in digests):
                return False
            for digest in digests:
                self._named.add(digest, row.index)
        return True

    def _strict(self, row: Row) -> bytes | None:
        """Read the body and compare everything; the leaf hash of the body, or None where it is no entry."""
        where, found = f"entry {row.index}", self._found
        try:
            entry = Entry.parse(row.body)
        except LedgerCorrupt as error:
            found.add(where, error.message, row.index)
            self._intact = False
            return None
        for digest in entry.artefacts.values():
            self._named.add(digest, row.index)
        if entry.index != row.index:
            found.add(where, f"its body says it is entry {entry.index}", row.index)
            self._intact = False
        if (entry.run, entry.kind, entry.time) != (row.run, row.kind, row.time):
            found.add(where, "the index columns (run, kind, time) differ from its body", row.index)
        if entry.leaf != row.leaf:
            found.add(where, "the stored leaf hash is not the hash of its body", row.index)
            self._intact = False
        return entry.leaf

    def _jump(self, index: int) -> None:
        """The next row is not the next entry."""
        what = "missing" if index > self._expected else "there twice"
        self._found.add(f"entry {self._expected}", f"{what}: the next stored index is {index}", self._expected)
        self._intact = False
        self._expected = index

    def _flush(self) -> None:
        self._frontier.extend(self._pending)
        self._pending.clear()

    def _compare(self, size: int) -> None:
        """The heads over so many entries, with the root of those that were read."""
        self._flush()
        for head in self._by_size.pop(size, ()):
            if not self._intact:
                continue
            if head.root == self._frontier.root():
                self._trusted = size
            else:
                what = f"the entries {self._trusted} to {size - 1} are not those that were signed"
                self._found.add(f"checkpoint {size}", what, self._trusted)
