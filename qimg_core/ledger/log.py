"""What every store of ours has in common: order, hashing, signing, proofs (imports base, verify).

A store adds where entries, heads and artefacts lie. Entries are hashed before they are stored, and
the tree in memory grows only after the store has said they are durable.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger.base import Inclusion, Ledger, Verification
from qimg_core.ledger.entry import DIGEST, Draft, Entry
from qimg_core.ledger.merkle import Frontier, Tree
from qimg_core.ledger.note import Checkpoint
from qimg_core.ledger.verify import Head, Row, verify_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qimg_core.ledger.base import Problem
    from qimg_core.ledger.note import Signer, VerifierKey


def utc_now() -> str:
    """The time as entries hold it: RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class StoredLedger(Ledger):
    """A ledger over a store. Subclasses say where things lie.

    Args:
        keys: the pinned verifier keys; their name is the log's origin.
        signer: the private keys, or None for a read-only ledger.
    """

    def __init__(self, keys: tuple[VerifierKey, ...], signer: Signer | None) -> None:
        self._keys = keys
        self._signer = signer
        self._mutex = threading.RLock()
        self._frontier = Frontier()
        self._tree: Tree | None = None
        self._closed = False

    # What a store supplies

    @abstractmethod
    def _store(self, entries: tuple[Entry, ...]) -> None:
        """Make entries durable, all or none."""

    @abstractmethod
    def _store_head(self, head: Head) -> None:
        """Make a checkpoint durable."""

    @abstractmethod
    def _read(self, start: int, stop: int) -> list[Row]:
        """Rows with start <= index < stop, by index; fewer where some are missing."""

    @abstractmethod
    def _leaves(self, start: int) -> Iterator[bytes]:
        """Stored leaf hashes from an index on."""

    @abstractmethod
    def _last_head(self) -> Head | None:
        """The newest checkpoint."""

    @abstractmethod
    def heads(self) -> tuple[Head, ...]:
        """Every stored checkpoint, by size."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Every stored entry, by index."""

    @abstractmethod
    def artefacts(self) -> Iterator[str]:
        """Digests of all stored artefacts."""

    def oddities(self) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """Problems and notes that only this kind of store has."""
        return (), ()

    # The interface

    @property
    def origin(self) -> str:
        """The log's name, first line of each checkpoint."""
        return self._keys[0].name

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The two public keys, Ed25519 and ML-DSA-44, that sign this log."""
        return self._keys

    def extend(self, drafts: Iterable[Draft]) -> tuple[Entry, ...]:
        """Write several entries in one commit: all of them or none. See `Ledger.extend`."""
        wanted = tuple(drafts)
        with self._mutex:
            self._writing()
            start = self._frontier.size
            time = utc_now()
            entries = tuple(Entry.of(draft, index=start + i, time=time) for i, draft in enumerate(wanted))
            for draft in wanted:
                self._check_artefacts(draft)
            if not entries:
                return ()
            frontier = self._frontier.copy()
            for entry in entries:
                frontier.append(entry.leaf)
            self._store(entries)
            self._frontier = frontier
            if self._tree is not None:
                for entry in entries:
                    self._tree.append(entry.leaf)
            return entries

    def entry(self, index: int) -> Entry:
        """The entry at an index. See `Ledger.entry`."""
        with self._mutex:
            self._open()
            rows = self._read(index, index + 1) if index >= 0 else []
            if not rows:
                raise LedgerError(f"no entry {index}: the log {self.origin} has {len(self):,}", index=index)
        return Entry.parse(rows[0].body)

    def checkpoint(self) -> bytes:
        """The signed note of the current head. See `Ledger.checkpoint`."""
        with self._mutex:
            signer = self._writing()
            head = Checkpoint(self.origin, self._frontier.size, self._frontier.root())
            last = self._last_head()
            if last is not None:
                if last.size > head.size or (last.size == head.size and last.root != head.root):
                    raise LedgerCorrupt(f"the log contradicts its checkpoint {last.size}; nothing was signed")
                if last.size == head.size:
                    return last.note
            note = signer.sign_checkpoint(head, int(time()))
            self._store_head(Head(head.size, head.root, note))
            return note

    def checkpoints(self) -> tuple[bytes, ...]:
        """Every signed note so far, oldest first."""
        with self._mutex:
            self._open()
            return tuple(head.note for head in self.heads())

    def sign_text(self, text: bytes) -> bytes:
        """An Ed25519 note over some other text. See `Ledger.sign_text`."""
        with self._mutex:
            return self._writing().sign_text(text)

    def inclusion(self, index: int, size: int | None = None) -> Inclusion:
        """Proof that an entry is in the log of a size. See `Ledger.inclusion`."""
        with self._mutex:
            tree = self._grown()
            size = tree.size if size is None else size
            proof = tree.inclusion(index, size)
            return Inclusion(index=index, size=size, leaf=tree.leaf(index), proof=proof, root=tree.root(size))

    def consistency(self, old: int, size: int | None = None) -> tuple[bytes, ...]:
        """Proof that the log of size ``old`` is a prefix of a later one. See `Ledger.consistency`."""
        with self._mutex:
            return self._grown().consistency(old, size)

    def verify(self) -> Verification:
        """Recompute everything. See `Ledger.verify`."""
        with self._mutex:
            self._open()
            return verify_log(self)

    # Inside

    def _open(self) -> None:
        if self._closed:
            raise LedgerError(f"the ledger {self.origin} is closed", hint="open it again")

    def _writing(self) -> Signer:
        self._open()
        if self._signer is None:
            raise LedgerError(
                f"the ledger {self.origin} is open for reading only", hint="open it without read_only=True to write"
            )
        return self._signer

    def _check_artefacts(self, draft: Draft) -> None:
        for name, digest in draft.facts.get("artefacts", {}).items():
            if not self.has(digest):
                raise ConfigurationError(
                    f"the artefact {name!r} ({digest}) is not stored", hint="store it first: ledger.put(data)"
                )

    def _grown(self) -> Tree:
        """The tree for proofs, up to the current head; built when first asked for."""
        self._open()
        if self._tree is None:
            self._tree = Tree()
        for leaf in self._leaves(self._tree.size):
            self._tree.append(leaf)
        return self._tree


def checked_digest(digest: str) -> str:
    """The hexadecimal part of a digest.

    Raises:
        ConfigurationError: not of the form ``sha256:<64 hex digits>``.
    """
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ConfigurationError(f"{digest!r} is no digest", hint="digests have the form sha256:<64 hex digits>")
    return digest.removeprefix("sha256:")
