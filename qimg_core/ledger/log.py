"""What every store of ours has in common: order, hashing, signing, proofs (imports base, verify).

A store adds where entries, heads and artefacts lie. Entries are hashed before they are stored, and
the tree in memory grows only after the store has said they are durable.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger.base import Inclusion, Ledger, Sealed, Verification
from qimg_core.ledger.batch import Batch
from qimg_core.ledger.entry import DIGEST, Draft, Entry, Prepared, prepare
from qimg_core.ledger.gathering import Gathering
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.merkle import Frontier, Tree
from qimg_core.ledger.note import Checkpoint
from qimg_core.ledger.verify import Head, Row, verify_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qimg_core.ledger.base import Problem
    from qimg_core.ledger.envelope import Signatures
    from qimg_core.ledger.note import Signer, VerifierKey


def utc_now() -> str:
    """The time as entries hold it: RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class StoredLedger(Ledger):
    """A ledger over a store. Subclasses say where things lie.

    Args:
        keys: the pinned verifier keys, or the history of them; their name is the log's origin.
        signer: the private keys, or None for a read-only ledger.
    """

    def __init__(self, keys: tuple[VerifierKey, ...] | KeyHistory, signer: Signer | None) -> None:
        self._history = KeyHistory.of(keys)
        self._signer = signer
        self._mutex = threading.RLock()
        self._frontier = Frontier()
        self._tree: Tree | None = None
        self._gathering = Gathering(self._seal_all)
        self._closed = False

    # What a store supplies

    @abstractmethod
    def _store(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, all or none, and remember the retry key (`Entry.key`) of those that have one."""

    @abstractmethod
    def _store_head(self, head: Head) -> None:
        """Make a checkpoint durable."""

    def _store_signed(self, entries: Sequence[Entry], head: Head) -> None:
        """Make entries and a checkpoint over them durable; in one transaction where the store can."""
        self._store(entries)
        self._store_head(head)

    def _find(self, key: str) -> int | None:
        """Index of the entry that was stored with a retry key. A store that keeps none refuses."""
        raise LedgerError(f"the store of {self.origin} keeps no retry keys", hint="write without Draft(key=...)")

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

    def each_head(self, start: int = 0) -> Iterator[Head]:
        """Stored checkpoints over at least ``start`` entries, by size; a store with many reads them by and by."""
        return (head for head in self.heads() if head.size >= start)

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
        return self._history.origin

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The two public keys, Ed25519 and ML-DSA-44, that sign this log now."""
        return self._history.current

    @property
    def history(self) -> KeyHistory:
        """Every pair of keys that has signed this log, and from which size on."""
        return self._history

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While the block runs, no other thread appends or signs."""
        with self._mutex:
            yield

    @property
    def signer(self) -> Signer:
        """The private keys in force; raises `LedgerError` where the ledger is closed or read-only."""
        return self._writing()

    def use_keys(self, signer: Signer, history: KeyHistory) -> None:
        """Sign with other keys from now on: only `rotation` does, which makes the change part of the log."""
        with self._mutex:
            self._writing()
            self._signer, self._history = signer, history

    def extend(self, drafts: Iterable[Draft]) -> tuple[Entry, ...]:
        """Write several entries in one commit: all of them or none. See `Ledger.extend`."""
        prepared = self._prepared(drafts)
        with self._mutex:
            self._writing()
            batch = Batch(self._frontier.size, utc_now(), self._keyed)
            entries = batch.add(prepared)
            if batch.new:
                frontier = self._with(batch.new)
                self._store(batch.new)
                self._grow(frontier, batch.new)
            return entries

    def seal(self, drafts: Iterable[Draft]) -> Sealed:
        """Write entries and sign a head over them, together with the calls of other threads. See `Ledger.seal`."""
        return self._gathering.do(self._prepared(drafts))

    def _seal_all(self, calls: Sequence[tuple[Prepared, ...]]) -> list[Sealed | Exception]:
        """One transaction and one signed head for several calls."""
        with self._mutex:
            signer = self._writing()
            batch = Batch(self._frontier.size, utc_now(), self._keyed)
            placed: list[tuple[Entry, ...] | Exception] = []
            for prepared in calls:
                try:
                    placed.append(batch.add(prepared))
                except (ConfigurationError, LedgerError) as error:  # this caller's own fault
                    placed.append(error)
            if batch.new:
                frontier = self._with(batch.new)
                head = Checkpoint(self.origin, frontier.size, frontier.root())
                self._last_under(head)
                note = signer.sign_checkpoint(head, int(time()))
                self._store_signed(batch.new, Head(head.size, head.root, note))
                self._grow(frontier, batch.new)
            else:
                note = self.checkpoint()
            return [Sealed(entries, note) if isinstance(entries, tuple) else entries for entries in placed]

    def entry(self, index: int) -> Entry:
        """The entry at an index. See `Ledger.entry`."""
        with self._mutex:
            self._open()
            rows = self._read(index, index + 1) if index >= 0 else []
            if not rows:
                raise LedgerError(f"no entry {index}: the log {self.origin} has {len(self):,}", index=index)
        return Entry.parse(rows[0].body)

    def span(self, start: int, stop: int) -> list[Row]:
        """Entries as stored, ``start <= index < stop``, unchecked; fewer where some are missing."""
        with self._mutex:
            self._open()
            return self._read(start, stop)

    def checkpoint(self) -> bytes:
        """The signed note of the current head. See `Ledger.checkpoint`."""
        with self._mutex:
            signer = self._writing()
            head = Checkpoint(self.origin, self._frontier.size, self._frontier.root())
            last = self._last_under(head)
            if last is not None and last.size == head.size:
                return last.note
            note = signer.sign_checkpoint(head, int(time()))
            self._store_head(Head(head.size, head.root, note))
            return note

    def checkpoints(self) -> tuple[bytes, ...]:
        """Every signed note so far, oldest first."""
        with self._mutex:
            self._open()
            return tuple(head.note for head in self.heads())

    def notes(self, start: int = 0) -> Iterator[bytes]:
        """Signed notes of heads over at least ``start`` entries. See `Ledger.notes`."""
        return (head.note for head in self.each_head(start))

    def newest_head(self) -> Head | None:
        """The newest checkpoint; None where nothing was signed yet."""
        with self._mutex:
            self._open()
            return self._last_head()

    def sign_text(self, text: bytes) -> bytes:
        """An Ed25519 note over some other text. See `Ledger.sign_text`."""
        with self._mutex:
            return self._writing().sign_text(text)

    def sign_envelope(self, encoded: bytes) -> Signatures:
        """Both keys' signatures over the encoding of a DSSE payload. See `Ledger.sign_envelope`."""
        from qimg_core.ledger.envelope import sign_envelope

        with self._mutex:
            return sign_envelope(self._writing(), encoded)

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

    def verify(self, *, strict: bool = False) -> Verification:
        """Recompute everything. See `Ledger.verify`."""
        with self._mutex:
            self._open()
            return verify_log(self, strict=strict)

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

    def _prepared(self, drafts: Iterable[Draft]) -> tuple[Prepared, ...]:
        """Check drafts, in the caller's own thread."""
        self._writing()
        prepared = tuple(prepare(draft) for draft in drafts)
        for one in prepared:
            self._check_artefacts(one.draft)
        return prepared

    def _keyed(self, key: str) -> Entry | None:
        """The entry of the log that has a retry key."""
        index = self._find(key)
        if index is None:
            return None
        entry = self.entry(index)
        if entry.key != key:
            what = f"the store gives entry {index} for the retry key {key!r}, and that one has {entry.key!r}"
            raise LedgerCorrupt(what, hint="see what is wrong with: qimg verify")
        return entry

    def _with(self, entries: Sequence[Entry]) -> Frontier:
        """The frontier with entries that are not stored yet."""
        frontier = self._frontier.copy()
        frontier.extend([entry.leaf for entry in entries])
        return frontier

    def _grow(self, frontier: Frontier, entries: Sequence[Entry]) -> None:
        """Entries are stored now."""
        self._frontier = frontier
        if self._tree is not None:
            for entry in entries:
                self._tree.append(entry.leaf)

    def _last_under(self, head: Checkpoint) -> Head | None:
        """The newest signed head, which a new one must not contradict."""
        last = self._last_head()
        if last is not None and (last.size > head.size or (last.size == head.size and last.root != head.root)):
            raise LedgerCorrupt(f"the log contradicts its checkpoint {last.size}; nothing was signed")
        return last

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
