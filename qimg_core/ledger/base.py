"""The interface of a ledger and the values it gives out (imports entry, merkle, note, verdict)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from qimg_core.ledger.entry import Draft, Entry, Gap
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.merkle import verify_inclusion
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from qimg_core.ledger.envelope import Signatures
    from qimg_core.ledger.note import VerifierKey


@frozen(kw_only=True)
class Inclusion:
    """That an entry stands in the log: RFC 6962 audit path from its leaf to the root of a size.

    ``leaf``, ``root`` and each hash of ``proof`` (lowest first) are 32 bytes.
    """

    index: int
    size: int
    leaf: bytes = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)
    root: bytes = field(repr=False)

    def holds(self) -> bool:
        """Does the path lead from the leaf to the root?"""
        return verify_inclusion(self.index, self.size, self.leaf, self.proof, self.root)


@frozen
class Problem:
    """What is wrong, and where: ``"entry 7"``, ``"checkpoint 12"``, ``"artefact sha256:.."``, a file."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@frozen(kw_only=True)
class Verification:
    """How a check of a log or of a bundle ended.

    Args:
        verdict: pass or fail.
        entries: how many entries were read and recomputed.
        artefacts: how many stored artefacts were hashed again.
        checkpoints: how many signed heads were compared with the entries.
        signatures: how many signatures were verified.
        first_bad: index of the first entry that does not hold, where a problem touches entries. Where
            only a range is known (two bodies rewritten with their hashes), its beginning.
        problems: every problem found, up to a bound.
        notes: what the reader should know and is no failure, e.g. entries that no checkpoint covers yet.
    """

    verdict: Verdict
    entries: int = 0
    artefacts: int = 0
    checkpoints: int = 0
    signatures: int = 0
    first_bad: int | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return self.verdict is Verdict.PASS


@frozen
class Sealed:
    """Entries that are durable, and the signed note of a head that covers them."""

    entries: tuple[Entry, ...]
    note: bytes = field(repr=False)


class Ledger(ABC):
    """An append-only log of entries with content-addressed artefacts and signed heads.

    What `append`, `extend`, `put` and `checkpoint` return is durable. One process writes; every
    method may be called from several threads of it.
    """

    @property
    @abstractmethod
    def origin(self) -> str:
        """The log's name, first line of each checkpoint."""

    @property
    @abstractmethod
    def keys(self) -> tuple[VerifierKey, ...]:
        """The two public keys, Ed25519 and ML-DSA-44, that sign this log now."""

    @property
    def history(self) -> KeyHistory:
        """Every pair of keys that has signed this log, and from which size on."""
        return KeyHistory.of(self.keys)

    def append(
        self,
        kind: str,
        *,
        run: str | None = None,
        facts: Mapping[str, Any],
        claims: Mapping[str, Any] | None = None,
        gaps: Iterable[Gap] = (),
        key: str | None = None,
    ) -> Entry:
        """Write one entry; see `Draft` and `extend`."""
        return self.extend([Draft(kind, run=run, facts=facts, claims=claims or {}, gaps=tuple(gaps), key=key)])[0]

    @abstractmethod
    def extend(self, drafts: Iterable[Draft]) -> tuple[Entry, ...]:
        """Write several entries in one commit: all of them or none.

        A draft whose retry key is in the log already gives the entry that has it; that one is not written again.

        Raises:
            ConfigurationError: a draft is malformed, too long, or names an artefact that is not stored; or its
                retry key is that of an entry with another content.
            LedgerError: the ledger is closed or read-only, or its store keeps no retry keys.
            StorageError: the disk is full or read-only.
        """

    def seal(self, drafts: Iterable[Draft]) -> Sealed:
        """Write entries and sign a head over them. For one caller; a store may join those of many threads.

        On return the entries are durable and covered by a signed head, which is durable too. A store of ours
        puts the calls that wait at the same time into one transaction with one head: 256 threads that
        seal one entry each cost little more than one. `extend` does not wait for others and signs nothing.

        Raises: as `extend` and `checkpoint`. One caller's malformed draft does not touch the others.
        """
        entries = self.extend(drafts)
        return Sealed(entries, self.checkpoint())

    @abstractmethod
    def __len__(self) -> int:
        """Number of entries."""

    @abstractmethod
    def entry(self, index: int) -> Entry:
        """The entry at an index.

        Raises:
            LedgerError: there is none.
            LedgerCorrupt: its stored body is damaged.
        """

    @abstractmethod
    def entries(self, *, run: str | None = None, kind: str | None = None, start: int = 0) -> Iterator[Entry]:
        """Entries in order, of one run or kind where given, from index ``start`` on.

        Entries appended while iterating may or may not be seen.
        """

    @abstractmethod
    def put(self, data: bytes) -> str:
        """Store an artefact and return its digest, ``sha256:<hex>``. Storing it again changes nothing.

        Raises:
            LedgerError: the ledger is closed or read-only.
            StorageError: the disk is full or read-only.
        """

    @abstractmethod
    def get(self, digest: str) -> bytes:
        """An artefact, hashed again on the way.

        Raises:
            LedgerError: there is none of that digest.
            LedgerCorrupt: the stored bytes have another digest.
        """

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Is there an artefact of that digest? (Its bytes are not read.)"""

    @abstractmethod
    def checkpoint(self) -> bytes:
        """The signed note of the current head.

        It is stored before it is given out, and the log refuses to sign what contradicts a head
        that it signed before. Without new entries since the last one, the last one is returned.

        Raises:
            LedgerError: the ledger is closed or read-only.
            LedgerCorrupt: the stored log contradicts the last signed head.
        """

    @abstractmethod
    def checkpoints(self) -> tuple[bytes, ...]:
        """Every signed note so far, oldest first."""

    def notes(self, start: int = 0) -> Iterator[bytes]:
        """The signed notes of heads over at least ``start`` entries, oldest first, without holding them all."""
        for note in self.checkpoints():
            if Checkpoint.parse(split_note(note)[0]).size >= start:
                yield note

    @abstractmethod
    def sign_text(self, text: bytes) -> bytes:
        """An Ed25519 note over some other text by the log's key, e.g. a bundle's manifest.

        Raises:
            LedgerError: the ledger is closed or read-only.
        """

    @abstractmethod
    def sign_envelope(self, encoded: bytes) -> Signatures:
        """Both keys' signatures over the encoding of a DSSE payload, see `qimg_core.ledger.envelope`.

        Raises:
            ConfigurationError: something else than such an encoding.
            LedgerError: the ledger is closed or read-only.
        """

    @abstractmethod
    def inclusion(self, index: int, size: int | None = None) -> Inclusion:
        """Proof that an entry is in the log of a size (the current one by default).

        Raises:
            ConfigurationError: no such entry in a log of that size.
        """

    @abstractmethod
    def consistency(self, old: int, size: int | None = None) -> tuple[bytes, ...]:
        """Proof that the log of size ``old`` is a prefix of the log of ``size`` (the current one by default).

        Raises:
            ConfigurationError: not 1 <= old <= size.
        """

    @abstractmethod
    def verify(self, *, strict: bool = False) -> Verification:
        """Recompute everything: entries, roots, signatures, artefacts. Bad data is an answer, not an exception.

        Args:
            strict: write every body anew from its content and compare, also of entries whose bytes a signed head
                covers. Without it their bytes, order and index columns are checked, and not the form that
                whoever holds the keys gave them. See `qimg_core.ledger.verify`.
        """

    @abstractmethod
    def close(self) -> None:
        """Release files and locks. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
