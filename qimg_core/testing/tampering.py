"""Ways to tamper with a ledger, by somebody with full access to the disk (floor 8; imports rewriting).

Each way takes a copy and spoils it; what a check ought to say of it is given back. Triggers are dropped first, hashes
and indices are made to fit where the way says so, and whoever has "stolen" the keys signs with those in the folder.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from qimg_core.ledger.entry import Entry
from qimg_core.ledger.receipts import KEPT
from qimg_core.testing.rewriting import artefact, bodies_of, changed, flipped, numbered, opened, put_rows, rewritten

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["edit", "drop", "reorder", "rollback", "fork", "stolen key", "swapped image", "edited manifest"]
KINDS: tuple[Kind, ...] = (
    "edit",
    "drop",
    "reorder",
    "rollback",
    "fork",
    "stolen key",
    "swapped image",
    "edited manifest",
)


@frozen(kw_only=True)
class Target:
    """A copy to be spoiled.

    Args:
        folder: of the ledger; it is closed.
        sizes: of its signed heads, ascending.
        kept: size of the newest head that outside memories hold.
        named: digest of each artefact -> first entry that names it.
        images: digests of the artefacts that are images.
    """

    folder: Path
    sizes: tuple[int, ...]
    kept: int
    named: dict[str, int]
    images: tuple[str, ...]


NOBODY = -1
"""In place of an entry: a check finds the spoiling and cannot name one."""

Spoil = Callable[[random.Random, Target], int]
"""Spoils a copy. Gives the first bad entry that a check of the copy by itself must name, or `NOBODY`."""


def _start(target: Target, index: int) -> int:
    """First entry of the stretch between signed heads in which an entry lies."""
    return max((size for size in target.sizes if size <= index), default=0)


def _index(rng: random.Random, target: Target, stop: int | None = None) -> int:
    return rng.randrange(target.sizes[-1] if stop is None else stop)


def _set(target: Target, index: int, column: str, value: Any) -> None:
    with opened(target.folder) as db:
        db.execute(f"UPDATE entry SET {column}=? WHERE idx=?", (value, index))  # noqa: S608 - fixed names


def _get(target: Target, index: int, column: str) -> Any:
    with opened(target.folder) as db:
        return db.execute(f"SELECT {column} FROM entry WHERE idx=?", (index,)).fetchone()[0]  # noqa: S608


# Edit


def edit_bit(rng: random.Random, target: Target) -> int:
    """Turn a bit of a body."""
    index = _index(rng, target)
    _set(target, index, "body", flipped(rng, _get(target, index, "body")))
    return index


def edit_hash(rng: random.Random, target: Target) -> int:
    """Turn a bit of a stored hash."""
    index = _index(rng, target)
    _set(target, index, "leaf", flipped(rng, _get(target, index, "leaf")))
    return index


def edit_column(rng: random.Random, target: Target) -> int:
    """Change a column of the index."""
    index, column = _index(rng, target), rng.choice(["run", "kind", "time"])
    _set(target, index, column, f"{_get(target, index, column)}x")
    return index


def edit_fact(rng: random.Random, target: Target) -> int:
    """Change a fact; the hash is made to fit."""
    index, bodies = _index(rng, target), bodies_of(target.folder)
    bodies[index] = changed(rng, bodies[index])
    with opened(target.folder) as db:
        put_rows(db, bodies)
    return _start(target, index)


def edit_head(rng: random.Random, target: Target) -> int:
    """Turn a bit of a signed head."""
    with opened(target.folder) as db:
        size = rng.choice(target.sizes)
        column = rng.choice(["root", "note"])
        (old,) = db.execute(f"SELECT {column} FROM checkpoint WHERE size=?", (size,)).fetchone()  # noqa: S608
        db.execute(f"UPDATE checkpoint SET {column}=? WHERE size=?", (flipped(rng, old), size))  # noqa: S608
    return NOBODY


# Drop


def drop_entry(rng: random.Random, target: Target) -> int:
    """Remove an entry."""
    index = _index(rng, target)
    with opened(target.folder) as db:
        db.execute("DELETE FROM entry WHERE idx=?", (index,))
    return index


def drop_and_close_up(rng: random.Random, target: Target) -> int:
    """Remove an entry; those behind it move up, indices and hashes made to fit."""
    index, bodies = _index(rng, target), bodies_of(target.folder)
    del bodies[index]
    with opened(target.folder) as db:
        put_rows(db, numbered(bodies))
    under = any(index < size <= len(bodies) for size in target.sizes)  # else only the last head, now over too many
    return _start(target, index) if under else len(bodies)


def drop_end(rng: random.Random, target: Target) -> int:
    """Remove the last entries, not the signed heads over them."""
    index = _index(rng, target)
    with opened(target.folder) as db:
        db.execute("DELETE FROM entry WHERE idx>=?", (index,))
    return index


def drop_artefact(rng: random.Random, target: Target) -> int:
    """Remove an artefact."""
    digest = rng.choice(sorted(target.named))
    artefact(target.folder, digest).unlink()
    return target.named[digest]


# Reorder


def reorder_bodies(rng: random.Random, target: Target) -> int:
    """Exchange two bodies with their hashes."""
    a, b = sorted(rng.sample(range(target.sizes[-1]), 2))
    with opened(target.folder) as db:
        query = "SELECT body, leaf FROM entry WHERE idx=?"
        rows = [db.execute(query, (index,)).fetchone() for index in (a, b)]
        for index, row in zip((b, a), rows, strict=True):
            db.execute("UPDATE entry SET body=?, leaf=? WHERE idx=?", (*row, index))
    return a


def reorder_block(rng: random.Random, target: Target) -> int:
    """Move a block of entries; indices and hashes made to fit."""
    a, b, c = sorted(rng.sample(range(target.sizes[-1] + 1), 3))
    bodies = bodies_of(target.folder)
    with opened(target.folder) as db:
        put_rows(db, numbered([*bodies[:a], *bodies[b:c], *bodies[a:b], *bodies[c:]]))
    return _start(target, a)


# Rollback


def rollback_database(rng: random.Random, target: Target) -> int:
    """Put an old database back; the head beside the keys stays."""
    size = rng.choice([size for size in target.sizes if size < target.kept])
    with opened(target.folder) as db:
        db.execute("DELETE FROM entry WHERE idx>=?", (size,))
        db.execute("DELETE FROM checkpoint WHERE size>?", (size,))
        (target.folder / "keys" / "before").write_bytes(
            db.execute("SELECT note FROM checkpoint WHERE size=?", (size,)).fetchone()[0]
        )
    return NOBODY


def rollback_all(rng: random.Random, target: Target) -> int:
    """Put an old copy of the whole folder back."""
    rollback_database(rng, target)
    (target.folder / "keys" / "before").replace(target.folder / "keys" / "last.checkpoint")
    return NOBODY


# Fork and stolen key: everything is signed again, and whole in itself


def fork(rng: random.Random, target: Target) -> int:
    """Another history from some entry on, longer or shorter than the true one."""
    start, bodies = _index(rng, target, target.kept), bodies_of(target.folder)
    end = [changed(rng, rng.choice(bodies)) for _ in range(rng.randint(1, 2 * (len(bodies) - start)))]
    rewritten(target.folder, numbered([*bodies[:start], *end]), target.sizes, keep=start)
    return NOBODY


def stolen_edit(rng: random.Random, target: Target) -> int:
    """Change an entry, and sign everything again."""
    index, bodies = _index(rng, target, target.kept), bodies_of(target.folder)
    bodies[index] = changed(rng, bodies[index])
    rewritten(target.folder, bodies, target.sizes, keep=index)
    return NOBODY


def stolen_drop(rng: random.Random, target: Target) -> int:
    """Remove an entry, and sign everything again."""
    index, bodies = _index(rng, target, target.kept), bodies_of(target.folder)
    del bodies[index]
    rewritten(target.folder, numbered(bodies), target.sizes, keep=index)
    return NOBODY


def stolen_without_receipts(rng: random.Random, target: Target) -> int:
    """Change an entry, leave every receipt out, and sign everything again."""
    index, bodies = _index(rng, target, target.kept), bodies_of(target.folder)
    bodies[index] = changed(rng, bodies[index])
    receipts = [at for at, body in enumerate(bodies) if Entry.parse(body).kind == KEPT]
    left = [body for at, body in enumerate(bodies) if at not in receipts]
    rewritten(target.folder, numbered(left), target.sizes, keep=min(index, *receipts))
    return NOBODY


# Swapped image


def swap_image(rng: random.Random, target: Target) -> int:
    """Put another picture where an image is stored."""
    digest = rng.choice(target.images)
    path = artefact(target.folder, digest)
    path.write_bytes(rng.randbytes(path.stat().st_size))
    return target.named[digest]


def exchange_images(rng: random.Random, target: Target) -> int:
    """Exchange two images."""
    two = rng.sample(target.images, 2)
    paths = [artefact(target.folder, digest) for digest in two]
    data = [path.read_bytes() for path in paths]
    for path, other in zip(paths, reversed(data), strict=True):
        path.write_bytes(other)
    return min(target.named[digest] for digest in two)


LEDGER: dict[Kind, tuple[Spoil, ...]] = {
    "edit": (edit_bit, edit_hash, edit_column, edit_fact, edit_head),
    "drop": (drop_entry, drop_and_close_up, drop_end, drop_artefact),
    "reorder": (reorder_bodies, reorder_block),
    "rollback": (rollback_database, rollback_all),
    "fork": (fork,),
    "stolen key": (stolen_edit, stolen_drop, stolen_without_receipts),
    "swapped image": (swap_image, exchange_images),
}
