"""Bundles under a password (imports bundle, encrypted, storage).

An encrypted bundle is the .zip of `bundle` in the format of `encrypted`. While it is made or checked the plain bundle
lies in a private temporary folder (mode 0700, under TMPDIR), which is removed; put TMPDIR into memory where the
disk is not to see it.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import bundle, encrypted
from qimg_core.storage import ensure_folder, storage_error, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qimg_core.ledger.base import Ledger, Verification
    from qimg_core.secret import Secret


def export(
    ledger: Ledger, path: str | os.PathLike[str], password: Secret, *, runs: Iterable[str] | None = None
) -> Path:
    """Write an encrypted bundle; arguments and errors as those of `bundle.export`, and a password."""
    target = Path(path)
    if target.exists():
        raise ConfigurationError(f"{target} exists already", hint="name a new file")
    ensure_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix="qimg-") as private:
        plain = bundle.export(ledger, Path(private) / "bundle.zip", runs=runs)
        work = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            with plain.open("rb") as source, work.open("xb") as file:
                encrypted.encrypt(source, file, password)
                file.flush()
                os.fsync(file.fileno())
            work.replace(target)
        except OSError as error:
            raise storage_error(error, "write the bundle", target) from error
        finally:
            work.unlink(missing_ok=True)
    sync_folder(target.parent)
    return target


@contextmanager
def opened(path: str | os.PathLike[str], password: Secret) -> Iterator[Path]:
    """The plain bundle, in a private temporary folder until the block ends.

    Raises:
        LedgerError: the wrong password.
        LedgerCorrupt: damaged.
        StorageError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="qimg-") as private:
        plain = Path(private) / "bundle.zip"
        try:
            with Path(path).open("rb") as source, plain.open("xb") as target:
                encrypted.decrypt(source, target, password)
        except OSError as error:
            raise storage_error(error, "decrypt", path) from error
        yield plain


def check(path: str | os.PathLike[str], password: Secret, *, vkeys: bytes | None = None) -> Verification:
    """Check an encrypted bundle; see `bundle.check` and `opened`."""
    with opened(path, password) as plain:
        return bundle.check(plain, vkeys=vkeys)
