"""`open_ledger`: a ledger from what a user names (floor 4; plugins' hooks may take other schemes)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.database import DATABASE
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.ledger.sqlite import SQLiteLedger

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry


def has_ledger(where: str | Path) -> bool:
    """Is there a ledger already? Of a URI only the plugin that opens it can tell: yes."""
    return "://" in str(where) or (Path(where) / DATABASE).exists()


def open_ledger(
    where: str | Path | None, registry: Registry | None = None, *, create: bool = True, read_only: bool = False
) -> Ledger:
    """Open a ledger.

    Args:
        where: a folder, a URI whose scheme a plugin understands, or None for a log in memory.
        registry: its plugins are asked for URIs (hook ``qimg_open_ledger``).
        create: make the folder where there is none.
        read_only: for reading while another process may write.

    Raises:
        ConfigurationError: a URI that no plugin opens.
        LedgerError, StorageError: as `SQLiteLedger.open` says.
    """
    if where is None:
        return MemoryLedger()
    if "://" in str(where):
        found = None
        if registry is not None:
            found = registry.hooks.hook.qimg_open_ledger(uri=str(where), create=create, read_only=read_only)
        if found is None:
            raise ConfigurationError(f"no plugin opens the ledger {str(where)!r}", hint="see `qimg plugin list`")
        ledger: Ledger = found
        return ledger
    return SQLiteLedger.open(Path(where), create=create, read_only=read_only)
