"""The record: an append-only Merkle log of canonical entries, signed, with its artefacts (floor 4).

`SQLiteLedger.open(folder)` for work that keeps its record, `MemoryLedger()` for work that does not.
Importing this loads no `cryptography`; opening a ledger does.
"""

from __future__ import annotations

from qimg_core.ledger.base import Inclusion, Ledger, Problem, Verification
from qimg_core.ledger.entry import Draft, Entry, Gap
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.ledger.sqlite import SQLiteLedger, verify_folder

__all__ = [
    "Draft",
    "Entry",
    "Gap",
    "Inclusion",
    "Ledger",
    "MemoryLedger",
    "Problem",
    "SQLiteLedger",
    "Verification",
    "verify_folder",
]
