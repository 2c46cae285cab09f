"""Memories for the tests of governed ledgers: honest ones in this process, that can be told to fail."""

from __future__ import annotations

from qimg_core.errors import LedgerCorrupt, OutsideMemoryError
from qimg_core.hooks import OutsideMemorySpec, hookimpl
from qimg_core.ledger.base import Problem
from qimg_core.ledger.merkle import verify_consistency
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.outside import OutsideMemory, Receipt

KEPT = {}  # name -> note: what survives the object, as somebody else's disk does
DOWN = {}  # name -> exception to raise
ASKED = []  # (name, size) of each handover


def reset():
    for one in (KEPT, DOWN, ASKED):
        one.clear()


class Honest(OutsideMemory):
    """Keeps a head where it extends the last; its receipt is the note itself."""

    kind = "witness"

    def __init__(self, name, folder, colour="white"):
        self.name, self.folder, self.colour = name, folder, colour

    def keep(self, ledger, note):
        head = Checkpoint.parse(split_note(note)[0])
        ASKED.append((self.name, head.size))
        if self.name in DOWN:
            raise DOWN[self.name]
        old = self.newest(head.origin)
        if old is not None and old.size:
            if old.size > head.size:
                raise LedgerCorrupt(f"rollback from {old.size} to {head.size}")
            proof = ledger.consistency(old.size, head.size)
            if not verify_consistency(old.size, head.size, proof, old.root, head.root):
                raise LedgerCorrupt(f"fork before {old.size}")
        KEPT[self.name] = note
        return Receipt(memory=self.name, kind=self.kind, size=head.size, root=head.root, evidence=note)

    def check(self, receipt, note):
        return () if receipt.evidence == note else (Problem("evidence", "is of another note"),)

    def newest(self, origin):
        if self.name in DOWN:
            raise OutsideMemoryError("is down")
        return Checkpoint.parse(split_note(KEPT[self.name])[0]) if self.name in KEPT else None

    def held(self, origin):
        return (KEPT[self.name],) if self.name in KEPT and self.name not in DOWN else ()


class HonestArchive(Honest):
    kind = "archive"


class HonestStamp(Honest):
    kind = "timestamp"


class OutsidePlugin:
    @hookimpl
    def qimg_outside_memories(self):
        return [
            OutsideMemorySpec(name=name, target=f"{__name__}:{cls.__name__}")
            for name, cls in (("honest", Honest), ("honest-archive", HonestArchive), ("honest-stamp", HonestStamp))
        ]
