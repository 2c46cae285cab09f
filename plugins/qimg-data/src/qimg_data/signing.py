"""Signatures of manifests: in-toto statements in DSSE envelopes, Ed25519 (imports building, qimg-policy's keys).

The statement's subject is the manifest by its digest; the predicate names the dataset and the digests of its images.
Keys are those of people and roles that `qimg policy key NAME` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_core.storage import storage_error, write_atomic
from qimg_data.building import signature_path
from qimg_data.manifest import FILE
from qimg_policy.dsse import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from qimg_data.manifest import Manifest
    from qimg_policy.keys import PublicKey, SigningKey

PREDICATE = "https://qimg.dev/dataset-manifest/v1"


def sign(path: Path, manifest: Manifest, keys: Iterable[SigningKey]) -> Path:
    """Sign a manifest; replaces the envelope beside it."""
    splits = {name: fact["digest"] for name, fact in manifest.splits.items()}
    predicate = {"name": manifest.name, "version": manifest.version, "images": splits}
    where = signature_path(path)
    write_atomic(where, seal(PREDICATE, {FILE: manifest.digest}, predicate, keys))
    return where


def signers(path: Path, manifest: Manifest, trusted: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """The trusted keys that signed this very manifest; empty where there is no envelope.

    Raises:
        ConfigurationError: the envelope is malformed or forged, or it belongs to another manifest.
    """
    where = signature_path(path)
    if not where.exists():
        return ()
    try:
        opened = unseal(where.read_bytes(), PREDICATE, trusted)
    except OSError as error:
        raise storage_error(error, "read", where) from error
    named = [s["digest"]["sha256"] for s in opened.statement["subject"]]
    if named != [manifest.digest.removeprefix("sha256:")]:
        raise ConfigurationError(
            f"{where.name} signs another manifest", hint="qimg manifest sign MANIFEST --key NAME.key.pem"
        )
    return opened.signers
