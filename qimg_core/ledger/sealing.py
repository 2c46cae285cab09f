"""Artefacts under a key of their data subject, and forgetting them (imports vault, entry, errors, storage).

A sealed artefact is AES-256-GCM under the subject's key: the ledger names the digest of the cipher text, the entry says
that it is sealed. Destroying the key leaves every hash as it was and the content unreadable::

    "qimg.sealed/1" newline   14 bytes
    subject                   16 bytes: HMAC-SHA256 of the subject's key, see `qimg_core.ledger.vault`
    nonce                     12 bytes, random
    cipher text               as long as the content, and a tag of 16 bytes

The first 30 bytes are associated data. Sealing the same bytes twice gives two artefacts: equal content does not show.
No hash of the plain content is recorded, as it would confirm a guess after the key is gone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger.entry import Gap
from qimg_core.ledger.vault import Vault
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

MAGIC = b"qimg.sealed/1\n"
FORGOTTEN = "subject.forgotten"
CIPHER = "AES-256-GCM"
_LARGEST = (1 << 31) - 1
_HEAD = len(MAGIC) + 16


@frozen
class SealedArtefact:
    """A sealed artefact.

    Args:
        digest: of the cipher text, as it is stored and named by entries.
        subject: 32 hex digits that stand for the subject; nothing leads back to a name without its key.
    """

    digest: str
    subject: str


def sealed_facts(artefacts: Mapping[str, SealedArtefact]) -> dict[str, Any]:
    """What an entry says of sealed artefacts: ``{"artefacts": {name: digest}, "sealed": {name: ...}}``."""
    return {
        "artefacts": {name: sealed.digest for name, sealed in artefacts.items()},
        "sealed": {
            name: {"cipher": CIPHER, "format": MAGIC.decode().strip(), "subject": sealed.subject}
            for name, sealed in artefacts.items()
        },
    }


def seal(ledger: Ledger, data: bytes, subject: str, vault: Vault | None = None) -> SealedArtefact:
    """Store an artefact under its subject's key, which is made where there is none.

    Args:
        ledger: open for writing.
        data: the content, under 2 GiB.
        subject: any name for the data subject; it is stored nowhere.
        vault: where subjects' keys are; that of the ledger's folder by default.

    Raises:
        ConfigurationError: no subject, too large, or the same bytes are stored in the clear already, where no key
            could make them forgotten.
        LedgerError, StorageError: closed or read-only, or the disk fails.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(data) > _LARGEST:
        raise ConfigurationError(f"an artefact of {len(data):,} bytes cannot be sealed in one piece")
    if ledger.has(plain := sha256_digest(data)):
        raise ConfigurationError(
            f"these bytes are stored in the clear already, as {plain}: sealing a copy would not let them be forgotten",
            hint="seal content before anything puts it; a ledger never removes what an entry names",
        )
    key = (vault or Vault.of(ledger, create=True)).key(subject, create=True)
    head, nonce = MAGIC + key.tag, os.urandom(12)
    digest = ledger.put(head + nonce + AESGCM(key.secret).encrypt(nonce, data, head))
    return SealedArtefact(digest, key.tag.hex())


def unseal(ledger: Ledger, digest: str, vault: Vault | None = None) -> bytes:
    """The content of a sealed artefact.

    Raises:
        ConfigurationError: it is not sealed.
        LedgerError: its subject was forgotten, or the key is not in this vault.
        LedgerCorrupt: the stored bytes are not those that were sealed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = ledger.get(digest)
    if not data.startswith(MAGIC) or len(data) < _HEAD + 12 + 16:
        raise ConfigurationError(f"{digest} is not sealed", hint="read it with: ledger.get(digest)")
    head, nonce, rest = data[:_HEAD], data[_HEAD : _HEAD + 12], data[_HEAD + 12 :]
    tag = head[len(MAGIC) :]
    key = (vault or Vault.of(ledger)).find(tag)
    if key is None:
        entry = forgotten(ledger).get(tag.hex())
        if entry is not None:
            raise LedgerError(f"{digest} cannot be read: its subject was forgotten, entry {entry.index}")
        raise LedgerError(f"{digest} cannot be read: the key of the subject {tag.hex()} is not here")
    try:
        return AESGCM(key.secret).decrypt(nonce, rest, head)
    except InvalidTag:
        raise LedgerCorrupt(f"{digest} is not what was sealed under the key of {tag.hex()}") from None


def forget(ledger: Ledger, subject: str, vault: Vault | None = None) -> Entry:
    """Destroy a subject's key and record that it was. Everything sealed under it is unreadable from now on.

    The key goes first, then the entry is written: stopped between them, it is done again with the same name.

    Raises:
        ConfigurationError: no such subject.
        LedgerError, StorageError: closed or read-only, or the disk fails.
    """
    vault = vault or Vault.of(ledger)
    tag = vault.destroy(subject).hex()
    entry = forgotten(ledger).get(tag)
    if entry is None:
        gap = Gap("copies", "whether copies of the key exist outside of its folder is not known to the log")
        entry = ledger.append(FORGOTTEN, facts={"subject": tag, "key": "destroyed"}, gaps=[gap])
        ledger.checkpoint()
    vault.destroyed(subject)
    return entry


def forgotten(ledger: Ledger) -> dict[str, Entry]:
    """The subjects that were forgotten, by their 32 hex digits, and the entries that say so."""
    return {entry.facts["subject"]: entry for entry in ledger.entries(kind=FORGOTTEN)}


def subjects(ledger: Ledger, vault: Vault | None = None) -> list[dict[str, Any]]:
    """Every subject of a ledger: ``subject``, ``artefacts`` (how many entries name), ``state``.

    The state is "readable", "forgotten", or "no key".
    """
    counts: dict[str, int] = {}
    for entry in ledger.entries():
        for sealed in entry.facts.get("sealed", {}).values():
            counts[sealed["subject"]] = counts.get(sealed["subject"], 0) + 1
    gone, here = forgotten(ledger), {key.tag.hex() for key in (vault or Vault.of(ledger)).every()}
    return [
        {
            "subject": tag,
            "artefacts": counts.get(tag, 0),
            "state": "readable" if tag in here else "forgotten" if tag in gone else "no key",
        }
        for tag in sorted({*counts, *gone, *here})
    ]
