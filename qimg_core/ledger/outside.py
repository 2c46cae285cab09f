"""Memories outside of a log: witness, time stamp, archive (imports errors, base, note, verdict).

A log alone cannot show a rollback, nor a rewrite by whoever stole its keys. Somebody else who
remembers a signed head can. A `OutsideMemory` is asked to keep each head; what it gives back, a
`Receipt`, goes into the log as an entry ``checkpoint.kept`` with the evidence as an artefact, and
is checked again by ``qimg verify``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.ledger.base import Ledger, Problem
    from qimg_core.ledger.note import Checkpoint

MemoryKind = Literal["witness", "timestamp", "archive"]


@frozen(kw_only=True)
class Receipt:
    """That an outside memory has kept a head.

    Args:
        memory: name of the memory in the ledger's settings.
        kind: what sort of memory gave it.
        size, root: the head that it keeps (root: 32 bytes).
        evidence: what can be checked without asking again: cosignature lines, a time-stamp token, or the
            archive's own answer as canonical JSON.
        facts: for the record, without floats: who, when, policy, retention, capability.
    """

    memory: str
    kind: MemoryKind
    size: int
    root: bytes = field(repr=lambda root: root.hex())
    evidence: bytes = field(repr=False)
    facts: Mapping[str, Any] = field(factory=dict)


class OutsideMemory(ABC):
    """Somebody or something else that remembers signed heads.

    Constructed with keyword arguments from the ledger's settings, ``name`` among them; reads secrets by
    reference only. A class with a parameter ``folder`` gets the folder of the settings (a `pathlib.Path`), against
    which it reads relative paths. Constructing connects to nobody; wrong settings are a `ConfigurationError`.
    """

    kind: MemoryKind
    name: str

    @abstractmethod
    def keep(self, ledger: Ledger, note: bytes) -> Receipt:
        """Hand over a signed head and what proves that it extends the last one kept.

        Args:
            ledger: for consistency proofs, entries and artefacts.
            note: the signed checkpoint; it is durable in the ledger already.

        Raises:
            OutsideMemoryError: unreachable, refused, or its answer does not hold. Asking again is harmless.
            LedgerCorrupt: the memory holds a head that this log contradicts (a rollback or a fork).
        """

    @abstractmethod
    def check(self, receipt: Receipt, note: bytes) -> tuple[Problem, ...]:
        """Is a kept receipt's evidence right for this signed head? Offline where the kind allows."""

    @abstractmethod
    def newest(self, origin: str) -> Checkpoint | None:
        """The newest head of a log that this memory holds now; None where it holds none or cannot be asked for one.

        Raises:
            OutsideMemoryError: it cannot be reached.
        """

    def held(self, origin: str) -> tuple[bytes, ...]:
        """The signed notes that it holds now, where it is several (witnesses) or keeps whole notes.

        They are compared with the log besides `newest`; a note signed by the log's own keys that the log contradicts
        proves who lies. The default gives none.

        Raises:
            OutsideMemoryError: it cannot be reached.
        """
        return ()

    def describe(self, receipt: Receipt) -> str:
        """What a receipt that holds shows, in one line, from its evidence; the default says its kind."""
        return f"kept by {receipt.memory} ({receipt.kind})"

    def close(self) -> None:
        """Release connections; the default does nothing."""
