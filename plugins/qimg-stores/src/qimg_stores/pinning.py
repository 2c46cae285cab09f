"""Putting an object into an archive so that it is sure to be there (imports kept, shelf).

Whatever the place answers, the object is read back whole and hashed, and so is what protects it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from qimg_core.errors import OutsideMemoryError
from qimg_core.storage import sha256_digest
from qimg_stores.kept import Pinned, stamp

if TYPE_CHECKING:
    from datetime import datetime

    from qimg_stores.kept import What
    from qimg_stores.shelf import Shelf

SLACK = timedelta(days=1)
"""An object that is there already is kept longer only where its retention ends so much too early."""


def pin(shelf: Shelf, what: What, name: str, data: bytes, until: datetime) -> Pinned:
    """Store bytes under a name, or find them there, and see that they are kept.

    Args:
        shelf: the place.
        what: the object's part in the record.
        name: under the archive's prefix.
        data: the bytes.
        until: how long they have to be kept at least.

    Raises:
        OutsideMemoryError: the place cannot be used, gives back other bytes, or does not protect them.
    """
    digest = sha256_digest(data)
    version = find(shelf, name, data)
    if version is None:
        version = shelf.put(name, data, until)
        found = shelf.get(name, version)
        if found is None or sha256_digest(found) != digest:
            what_came = "nothing" if found is None else f"bytes of the digest {sha256_digest(found)}"
            raise OutsideMemoryError(
                f"{shelf.where}: {name} was accepted and reads back as {what_came}, wanted {digest}",
                hint="this place does not keep what it is given: use another",
            )
    lock = shelf.lock(name, version)
    if not shelf.dated and lock.mode != shelf.modes[0]:
        shelf.extend(name, version, until)  # a put that was cut off before the file was protected
        lock = shelf.lock(name, version)
    if shelf.dated and (lock.until is None or lock.until < until - SLACK) and lock.mode in shelf.modes:
        shelf.extend(name, version, until)
        lock = shelf.lock(name, version)
    if lock.mode not in shelf.modes:
        raise OutsideMemoryError(
            f"{shelf.where}: {name} is stored and not protected: its lock is {lock.mode}, wanted {shelf.modes[0]}",
            hint="use a bucket with Object Lock; try it with: qimg archive init WHERE",
        )
    if shelf.dated and (lock.until is None or lock.until < until - SLACK):
        kept = "no date" if lock.until is None else stamp(lock.until)
        raise OutsideMemoryError(f"{shelf.where}: {name} is kept until {kept}, wanted {stamp(until)}")
    return Pinned(
        what=what,
        name=name,
        version=version,
        digest=digest,
        bytes=len(data),
        mode=lock.mode,
        until=None if lock.until is None else stamp(lock.until),
    )


def find(shelf: Shelf, name: str, data: bytes) -> str | None:
    """The version under a name that holds exactly these bytes, the oldest of several; None where there is none."""
    found = None
    for version in shelf.versions(name):
        if version.name != name or version.marker or version.bytes != len(data):
            continue
        if shelf.get(name, version.version) == data:
            found = version.version
    return found


def read(shelf: Shelf, item: Pinned) -> bytes:
    """The bytes of a pinned object.

    Raises:
        OutsideMemoryError: they are gone or others.
    """
    data = shelf.get(item.name, item.version)
    if data is None:
        raise OutsideMemoryError(f"{shelf.where}: {item.name} (version {item.version}) is gone")
    if sha256_digest(data) != item.digest:
        raise OutsideMemoryError(f"{shelf.where}: {item.name} has the digest {sha256_digest(data)}, not {item.digest}")
    return data
