"""Rewriting a stored ledger behind its back, for attacks on it (floor 8; imports ledger)."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qimg_core.ledger import canonical, keys
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.merkle import Frontier, leaf_hash
from qimg_core.ledger.note import Checkpoint

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database of a ledger without its triggers."""
    db = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    try:
        db.execute("PRAGMA synchronous=OFF")
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        yield db
    finally:
        db.close()


def bodies_of(folder: Path) -> list[bytes]:
    """Every entry's body, by index."""
    with opened(folder) as db:
        return [body for (body,) in db.execute("SELECT body FROM entry ORDER BY idx")]


def flipped(rng: random.Random, data: bytes) -> bytes:
    """One bit turned."""
    out = bytearray(data)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def changed(rng: random.Random, body: bytes) -> bytes:
    """A well-formed entry that says something else."""
    document = canonical.loads(body)
    part = rng.choice(["facts", "claims"])
    document[part] = {**document[part], "changed": f"{rng.getrandbits(64):016x}"}
    return canonical.dumps(document)


def numbered(bodies: Sequence[bytes]) -> list[bytes]:
    """Entries that say of themselves the places where they are now."""
    return [canonical.dumps({**canonical.loads(body), "index": index}) for index, body in enumerate(bodies)]


def put_rows(db: sqlite3.Connection, bodies: Sequence[bytes]) -> None:
    """Entries with columns and hashes that fit, in place of what was there."""
    db.execute("BEGIN")
    db.execute("DELETE FROM entry")
    entries = [Entry.parse(body) for body in bodies]
    values = [(e.index, e.run, e.kind, e.time, e.body, e.leaf) for e in entries]
    db.executemany("INSERT INTO entry(idx, run, kind, time, body, leaf) VALUES(?,?,?,?,?,?)", values)
    db.execute("COMMIT")


def rewritten(folder: Path, bodies: Sequence[bytes], sizes: Sequence[int], *, keep: int = 0) -> None:
    """Another history, whole in itself, signed with the folder's keys.

    Args:
        folder: of the ledger.
        bodies: of its entries, which say their own indices.
        sizes: at which to sign a head, besides the end.
        keep: heads up to this size stay as they are: what is under them is not changed.
    """
    signer, frontier = keys.load(folder), Frontier()
    wanted = {*sizes, len(bodies)}
    with opened(folder) as db:
        put_rows(db, bodies)
        db.execute("BEGIN")
        db.execute("DELETE FROM checkpoint WHERE size>? OR size>?", (keep, len(bodies)))
        for body in bodies:
            frontier.append(leaf_hash(body))
            if frontier.size > keep and frontier.size in wanted:
                head = Checkpoint(signer.origin, frontier.size, frontier.root())
                note = signer.sign_checkpoint(head, 1_790_000_000 + frontier.size)
                db.execute("INSERT INTO checkpoint(size, root, note) VALUES(?,?,?)", (head.size, head.root, note))
        db.execute("COMMIT")
        (last,) = db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    (folder / "keys" / "last.checkpoint").write_bytes(last)


def artefact(folder: Path, digest: str) -> Path:
    """Where an artefact lies, in a ledger or a bundle."""
    return folder / "artefacts" / "sha256" / digest[7:9] / digest[7:]
