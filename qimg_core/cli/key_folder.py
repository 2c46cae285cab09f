"""The folder whose keys a command works on (imports ledger)."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.sqlite import SQLiteLedger


def key_folder(ledger: str, *, new: bool = False) -> Path:
    """The folder, with keys in it unless they are to be made.

    Raises:
        ConfigurationError: a URI, or no keys there.
    """
    from qimg_core.ledger import keys as store

    folder = Path(ledger)
    if "://" in ledger:
        raise ConfigurationError("keys lie in a folder", hint="name the folder that has keys/ in it")
    if not new and not (folder / store.FOLDER).is_dir():
        raise ConfigurationError(f"there are no keys in {folder}", hint=f"qimg keys init --ledger {folder}")
    return folder


@contextmanager
def writing(folder: Path) -> Iterator[SQLiteLedger]:
    """The ledger that is there, open for writing."""
    from qimg_core.ledger.sqlite import SQLiteLedger

    with SQLiteLedger.open(folder, create=False) as log:
        yield log
