"""The folder of everything that marking keeps: authority, trusted roots, keys (imports errors, storage).

::

    <folder>/ca/        root and signing certificate, see `qimg_marks.credentials.authority`
    <folder>/trust/     *.pem: whose signatures and time stamps count as known
    <folder>/watermark.key

Named by ``QIMG_MARKS``; ``marks`` where it is not set.
"""

from __future__ import annotations

import os
from pathlib import Path

from qimg_core.errors import DataError
from qimg_core.storage import ensure_folder, sha256_digest, write_atomic

VARIABLE = "QIMG_MARKS"
DEFAULT = "marks"
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def marks_folder(given: str | None = None) -> Path:
    """The folder that was given, or named by the environment, or ``marks``."""
    return Path(given or os.environ.get(VARIABLE) or DEFAULT)


def anchors(folder: Path) -> str:
    """Every trusted certificate of the folder, PEM; empty where there is none.

    Raises:
        DataError: a file that holds no certificate.
    """
    found = []
    for path in sorted((folder / "trust").glob("*.pem")):
        data = path.read_bytes()
        _check(data, str(path))
        found.append(data.decode("ascii").strip() + "\n")
    return "".join(found)


def trust(folder: Path, pem: bytes, *, name: str = "the file") -> Path:
    """Keep a certificate as a trusted root; keeping it twice changes nothing.

    Raises:
        DataError: it is no certificate.
        StorageError
    """
    _check(pem, name)
    path = ensure_folder(folder / "trust") / f"{sha256_digest(pem)[7:23]}.pem"
    if not path.exists():
        write_atomic(path, pem)
    return path


def _check(pem: bytes, name: str) -> None:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise DataError(f"{name} holds no certificate in PEM form", hint=f"it begins with {_BEGIN.decode()}") from error
