"""Ways to tamper with copies of a ledger: a bundle, a published log (floor 8; imports rewriting, tampering)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.ledger import canonical
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.note import Checkpoint, Signer, split_note
from qimg_core.ledger.standalone import verify as standalone
from qimg_core.ledger.tiles import WIDTH, Tile, level_tiles, pack, unpack
from qimg_core.storage import sha256_digest
from qimg_core.testing.rewriting import artefact, changed, flipped
from qimg_core.testing.tampering import NOBODY, Kind, Spoil, Target

if TYPE_CHECKING:
    import random
    from pathlib import Path


# A bundle of all entries


def _lines(target: Target) -> list[bytes]:
    return (target.folder / standalone.ENTRIES).read_bytes().splitlines()


def _write_lines(target: Target, lines: list[bytes]) -> None:
    (target.folder / standalone.ENTRIES).write_bytes(b"".join(line + b"\n" for line in lines))


def bundle_edit_entry(rng: random.Random, target: Target) -> int:
    """Change a fact of an entry."""
    lines = _lines(target)
    index = rng.randrange(len(lines))
    lines[index] = changed(rng, lines[index])
    _write_lines(target, lines)
    return index


def bundle_edit_file(rng: random.Random, target: Target) -> int:
    """Turn a bit of a head, a proof or a list of hashes."""
    names = sorted([*target.folder.glob("checkpoints/*"), *target.folder.glob("proofs/*")])
    path = rng.choice([*names, target.folder / standalone.LEAVES])
    path.write_bytes(flipped(rng, path.read_bytes()))
    return NOBODY


def bundle_drop_entry(rng: random.Random, target: Target) -> int:
    """Remove an entry."""
    lines = _lines(target)
    index = rng.randrange(len(lines))
    del lines[index]
    _write_lines(target, lines)
    return index


def bundle_drop_artefact(rng: random.Random, target: Target) -> int:
    """Remove an artefact."""
    digest = rng.choice(sorted(target.named))
    artefact(target.folder, digest).unlink()
    return target.named[digest]


def bundle_reorder(rng: random.Random, target: Target) -> int:
    """Exchange two entries."""
    lines = _lines(target)
    a, b = sorted(rng.sample(range(len(lines)), 2))
    lines[a], lines[b] = lines[b], lines[a]
    _write_lines(target, lines)
    return a


def bundle_swap_image(rng: random.Random, target: Target) -> int:
    """Put another picture where an image is stored; half of the time the manifest is made to fit."""
    digest = rng.choice(target.images)
    path = artefact(target.folder, digest)
    path.write_bytes(rng.randbytes(path.stat().st_size))
    if rng.random() < 0.5:
        _fit(target.folder)
    return target.named[digest]


def manifest_bit(rng: random.Random, target: Target) -> int:
    """Turn a bit of the manifest, or of its signature."""
    path = target.folder / rng.choice([standalone.MANIFEST, standalone.SIGNATURE])
    path.write_bytes(flipped(rng, path.read_bytes()))
    return NOBODY


def manifest_field(rng: random.Random, target: Target) -> int:
    """Change what the manifest says of the bundle."""
    path = target.folder / standalone.MANIFEST
    manifest = canonical.loads(path.read_bytes())
    name = rng.choice(["size", "entries", "complete", "origin", "runs", "files"])
    files = dict(manifest["files"])
    files.pop(rng.choice(sorted(files)))
    new = {
        "size": manifest["size"] + rng.choice([-1, 1]),
        "entries": manifest["entries"] + rng.choice([-1, 1]),
        "complete": False,
        "origin": f"{manifest['origin']}x",
        "runs": [f"run-{rng.getrandbits(32)}"],
        "files": files,
    }
    path.write_bytes(canonical.dumps({**manifest, name: new[name]}))
    return NOBODY


def manifest_other_keys(rng: random.Random, target: Target) -> int:
    """Sign the manifest and every head with other keys, put in place of the log's: a bundle that agrees with itself."""
    folder = target.folder
    origin = canonical.loads((folder / standalone.MANIFEST).read_bytes())["origin"]
    signer = Signer.generate(origin)
    (folder / standalone.KEYS).write_bytes(KeyHistory.of(signer.keys).text.encode())
    for path in folder.glob("checkpoints/*.note"):
        head = Checkpoint.parse(split_note(path.read_bytes())[0])
        path.write_bytes(signer.sign_checkpoint(head, 1_790_000_000 + rng.randrange(1000)))
    _fit(folder)
    text = f"{standalone.BUNDLE}\n{origin}\n{sha256_digest((folder / standalone.MANIFEST).read_bytes())}\n"
    (folder / standalone.SIGNATURE).write_bytes(signer.sign_text(text.encode()))
    return NOBODY


def _fit(folder: Path) -> None:
    """Write into the manifest the sizes and hashes of the files as they are."""
    path = folder / standalone.MANIFEST
    manifest = canonical.loads(path.read_bytes())
    files = {
        name: {"bytes": len(data), "sha256": sha256_digest(data)[7:]}
        for name in manifest["files"]
        if (data := (folder / name).read_bytes()) is not None
    }
    path.write_bytes(canonical.dumps({**manifest, "files": files}))


BUNDLE: dict[Kind, tuple[Spoil, ...]] = {
    "edit": (bundle_edit_entry, bundle_edit_file),
    "drop": (bundle_drop_entry, bundle_drop_artefact),
    "reorder": (bundle_reorder,),
    "swapped image": (bundle_swap_image,),
    "edited manifest": (manifest_bit, manifest_field, manifest_other_keys),
}


# A published log


def _tile(rng: random.Random, target: Target) -> tuple[Tile, Path, list[bytes]]:
    tile = rng.choice(list(level_tiles(0, target.sizes[-1])))
    path = target.folder / tile.bundle
    return tile, path, unpack(path.read_bytes(), tile.width)


def published_edit(rng: random.Random, target: Target) -> int:
    """Change a fact of an entry."""
    tile, path, bodies = _tile(rng, target)
    at = rng.randrange(len(bodies))
    bodies[at] = changed(rng, bodies[at])
    path.write_bytes(pack(bodies))
    return tile.index * WIDTH + at


def published_edit_tile(rng: random.Random, target: Target) -> int:
    """Turn a bit of a tile or of the checkpoint."""
    tiles = [target.folder / tile.path for tile in level_tiles(0, target.sizes[-1])]
    path = rng.choice([*tiles, target.folder / "checkpoint"])
    path.write_bytes(flipped(rng, path.read_bytes()))
    return NOBODY


def published_drop(rng: random.Random, target: Target) -> int:
    """Remove an entry from its bundle."""
    tile, path, bodies = _tile(rng, target)
    del bodies[rng.randrange(len(bodies))]
    path.write_bytes(pack(bodies))
    return tile.index * WIDTH  # it is no bundle of so many entries any more


def published_reorder(rng: random.Random, target: Target) -> int:
    """Exchange two entries of a bundle."""
    tile, path, bodies = _tile(rng, target)
    a, b = sorted(rng.sample(range(len(bodies)), 2))
    bodies[a], bodies[b] = bodies[b], bodies[a]
    path.write_bytes(pack(bodies))
    return tile.index * WIDTH + a


PUBLISHED: dict[Kind, tuple[Spoil, ...]] = {
    "edit": (published_edit, published_edit_tile),
    "drop": (published_drop,),
    "reorder": (published_reorder,),
}
