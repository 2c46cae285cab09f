"""Changing the keys of a log, and revoking stolen ones (imports history, keys, log, storage).

A change is written down in ``keys/pending.json`` before its first step and finished when the log is next opened for
writing, wherever it was stopped. Steps, each of which may be repeated:

1. the private files of the new pair; 2. ``pending.json``; 3. the entry ``keys.rotated``, which names both pairs;
4. the hand-over head, signed by both pairs; 5. ``log.vkeys``, replaced at once; 6. the retired private files
and ``pending.json`` are removed.

Until step 5 the old pair is in force, and only it can make step 4: who has stolen a retired pair cannot rotate.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import ConfigurationError, LedgerCorrupt, QimgError
from qimg_core.ledger import keys
from qimg_core.ledger.history import REVOKED, ROTATED, KeyHistory, revocation_facts, rotation_facts
from qimg_core.storage import storage_error, sync_folder, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.log import StoredLedger
    from qimg_core.ledger.note import Signer

PENDING = "pending.json"


def rotate(
    ledger: StoredLedger, folder: Path, reason: str, protection: keys.Protection | None = None
) -> tuple[Entry, bytes]:
    """Give a log a new pair of keys; the retired private keys are removed from the folder.

    Args:
        ledger: open for writing.
        folder: the one whose ``keys/`` holds the log's keys.
        reason: for the record; says nothing personal.
        protection: how to keep the new private keys; plain by default.

    Returns:
        the entry ``keys.rotated``, and the hand-over head: a note with four signatures.

    Raises:
        LedgerError, ConfigurationError, StorageError: the old keys are in force still, or the change is finished
            when the log is next opened.
    """
    with ledger.exclusive():
        old, number = ledger.signer, len(ledger.history.periods)
        new = keys.write_private(folder, number + 1, ledger.origin, protection or keys.Protection())
        size = len(ledger) + 1
        history = ledger.history.rotated(new.keys, size)
        facts = rotation_facts(old.keys, new.keys, size)
        pending = {"kind": ROTATED, "facts": facts, "reason": reason, "index": size - 1, "vkeys": history.text}
        return _do(ledger, folder, pending, new)


def revoke(ledger: StoredLedger, folder: Path, key_id: str, size: int, reason: str) -> tuple[Entry, bytes]:
    """Say that a retired key was in other hands: from ``size`` on its signatures count for nothing by themselves.

    Args:
        ledger: open for writing, under newer keys.
        folder: the one whose ``keys/`` holds the log's keys.
        key_id: 8 hex digits of the retired Ed25519 key's id.
        size: the first head that is in doubt.
        reason: for the record; says nothing personal.

    Returns:
        the entry ``keys.revoked``, and a signed head over it.

    Raises:
        ConfigurationError: no such key, still in force, or no such size. Nothing is written.
    """
    with ledger.exclusive():
        found = [period for period in ledger.history.periods if period.keys[0].id.hex() == key_id]
        if not found:
            known = ", ".join(period.keys[0].id.hex() for period in ledger.history.periods)
            raise ConfigurationError(f"no key {key_id} has signed {ledger.origin}; its keys: {known}")
        if found[0].end is None:
            raise ConfigurationError(f"the key {key_id} is in force", hint="first: qimg keys rotate --reason stolen")
        try:
            history = ledger.history.revoking(key_id, size)
        except LedgerCorrupt as error:
            raise ConfigurationError(error.message) from error
        facts = revocation_facts(found[0].keys, size)
        pending = {"kind": REVOKED, "facts": facts, "reason": reason, "index": len(ledger), "vkeys": history.text}
        return _do(ledger, folder, pending, ledger.signer)


def finish(ledger: StoredLedger, folder: Path) -> None:
    """Finish what was begun and stopped; done when a ledger is opened for writing.

    Raises:
        LedgerCorrupt: the log is shorter than its keys say, or does not fit what was begun.
        LedgerError, StorageError: nothing was changed, or it is finished at the next opening.
    """
    path = folder / keys.FOLDER / PENDING
    try:
        pending = _pending(path.read_bytes())
        history = KeyHistory.parse(pending["vkeys"])
    except FileNotFoundError:
        start = ledger.history.periods[-1].start
        if start > len(ledger):
            raise LedgerCorrupt(
                f"the keys of {ledger.origin} are in force from size {start}, and the log has {len(ledger)} entries: "
                "an old copy was restored",
                hint="restore the newest copy of the whole folder",
            ) from None
        sync_folder(path.parent)  # who removed it may have been killed: it must not come back after power loss
        return
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (ValueError, LedgerCorrupt) as error:
        raise LedgerCorrupt(f"{path} is damaged: {error}") from error
    with ledger.exclusive():
        new = ledger.signer
        if history.current != ledger.keys:
            new = keys.load_pair(folder, len(history.periods), history.current)
        _do(ledger, folder, pending, new)


def _pending(data: bytes) -> dict[str, Any]:
    """What was begun; raises `ValueError` where it has not the form that `_do` writes."""
    found = json.loads(data)
    forms = {"kind": str, "facts": dict, "reason": str, "index": int, "vkeys": str}
    if not isinstance(found, dict) or {name: type(value) for name, value in found.items()} != forms:
        raise ValueError("not of the form in which a change of keys is begun")
    return found


def _do(ledger: StoredLedger, folder: Path, pending: dict[str, Any], new: Signer) -> tuple[Entry, bytes]:
    """Steps 2 to 6, those that are done left out."""
    path = folder / keys.FOLDER / PENDING
    if not path.exists():
        write_atomic(path, json.dumps(pending, indent=1).encode(), mode=0o600)
    try:
        return _steps(ledger, folder, pending, new)
    except BaseException as error:
        ledger.close()  # nothing may be appended or signed until the change is finished
        if isinstance(error, QimgError):
            error.advise("the change of keys is finished when the ledger is next opened for writing")
        raise


def _steps(ledger: StoredLedger, folder: Path, pending: dict[str, Any], new: Signer) -> tuple[Entry, bytes]:
    place = folder / keys.FOLDER
    index, kind, facts = pending["index"], pending["kind"], pending["facts"]
    if len(ledger) == index:
        ledger.append(kind, facts=facts, claims={"reason": pending["reason"]})
    entry = ledger.entry(index)
    if len(ledger) != index + 1 or (entry.kind, entry.facts) != (kind, facts):
        raise LedgerCorrupt(f"entry {index} is not the {kind} that {place / PENDING} begins", hint="qimg verify")
    history, old = KeyHistory.parse(pending["vkeys"]), ledger.signer
    if new.keys != old.keys:
        ledger.use_keys(evolve(old, successor=new), ledger.history)
    note = ledger.checkpoint()
    checked = history.open_head(note)
    if checked.problem:
        raise LedgerCorrupt(f"the head of size {index + 1} does not hand over: {checked.problem}", hint="qimg verify")
    write_atomic(place / keys.PUBLIC, history.text.encode())
    ledger.use_keys(new, history)
    if kind == ROTATED:
        keys.forget_private(folder, len(history.periods) - 1)
    try:
        (place / PENDING).unlink()
    except OSError as error:
        raise storage_error(error, "remove", place / PENDING) from error
    sync_folder(place)
    return entry, note
