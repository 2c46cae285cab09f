"""``qimg marks``: authority, trusted roots, registry, blocked images (imports click; the rest when a command runs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError, DataError
from qimg_marks.options import marks_option, password

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger


@click.group()
def marks() -> None:
    """The authority, trusted roots and the registry behind the marks."""


@marks.group()
def ca() -> None:
    """The authority whose certificate signs content credentials."""


@ca.command()
@click.option("--provider", required=True, metavar="NAME", help="The organisation that the certificates name.")
@click.option("--encrypt", is_flag=True, help="Encrypt the keys with the password in QIMG_MARKS_PASSWORD.")
@marks_option
@json_option
def init(provider: str, encrypt: bool, folder: str) -> None:
    """Make a root and a signing certificate (ECDSA P-256)."""
    from qimg_marks.credentials.authority import LEAF_DAYS, ROOT_DAYS, create

    create(Path(folder), provider, password=password(needed=True) if encrypt else None)
    place = Path(folder) / "ca"
    document = {"folder": str(place), "root": str(place / "root.pem"), "encrypted": encrypt, "provider": provider}
    pairs = [
        ("root", f"{place / 'root.pem'}, {ROOT_DAYS} days: give it to whoever shall trust these credentials"),
        ("root's key", f"{place / 'root.key.pem'}: keep it elsewhere, off line"),
        ("signer", f"{place / 'chain.pem'}, {LEAF_DAYS} days; then: qimg marks ca renew"),
        ("keys", "encrypted" if encrypt else "NOT encrypted (mode 0600); --encrypt with QIMG_MARKS_PASSWORD does"),
    ]
    emit(document, [f"an authority of {provider}", *fields(pairs)])


@ca.command()
@marks_option
@json_option
def renew(folder: str) -> None:
    """A new signing key and certificate under the same root."""
    from qimg_marks.credentials.authority import renew as again

    again(Path(folder), password=password())
    path = Path(folder) / "ca" / "chain.pem"
    emit({"chain": str(path)}, [f"{path}: a new signing certificate"])


@marks.command()
@click.argument("file", metavar="ROOT.pem")
@marks_option
@json_option
def trust(file: str, folder: str) -> None:
    """Trust a root: of somebody else's credentials, or of a time-stamp authority."""
    from qimg_marks.folder import trust as keep

    try:
        pem = Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    path = keep(Path(folder), pem, name=file)
    emit({"kept": str(path)}, [f"{file} is trusted (kept as {path})"])


@marks.command()
@click.argument("what", nargs=-1, required=True, metavar="FILE|RUN|ENTRY...")
@ledger_option
@json_option
@click.pass_obj
def register(app: App, what: tuple[str, ...], ledger: str) -> None:
    """Put fingerprints of pictures, or of every image of a run, into the ledger."""
    from qimg_marks.fingerprint.hashes import fingerprint
    from qimg_marks.fingerprint.registry import register as keep

    with existing_ledger(app, ledger, write=True) as log:
        found = [_images(log, name) for name in what]  # everything is read before anything is written
        prints = [([fingerprint(image) for image in images], of) for images, of in found]
        entries = [keep(log, each, of=of) for each, of in prints]
        log.checkpoint()
    made = [{"what": w, "entry": e.index, "n": len(p)} for w, e, (p, _) in zip(what, entries, prints, strict=True)]
    emit({"registered": made}, [f"{m['what']}: {m['n']} image(s), entry {m['entry']}" for m in made])


def _images(ledger: Ledger, name: str) -> tuple[list[Any], tuple[str, int] | None]:
    """8-bit images of a file, or of an ``images.made`` entry or a run of them; and run and entry."""
    from qimg_core.images import pixels_from_bytes
    from qimg_marks.picture import open_picture
    from qimg_marks.sources import look_up

    if Path(name).is_file():
        picture = open_picture(name)
        known = look_up(ledger, picture)
        return list(picture.pixels), None if known is None else (str(known.entry.run), known.entry.index)
    made = [e for e in ledger.entries(kind="images.made") if name in (str(e.index), e.run)]
    if not made:
        raise ConfigurationError(f"{name!r} is no file, and no run or entry with images", hint="qimg ledger log")
    if len(made) > 1:
        numbers = ", ".join(str(e.index) for e in made)
        raise ConfigurationError(f"the run {name} made images {len(made)} times", hint=f"name an entry: {numbers}")
    entry = made[0]
    return list(pixels_from_bytes(ledger.get(entry.artefacts["pixels"]))), (str(entry.run), entry.index)


@marks.command()
@click.argument("file", metavar="FILE")
@click.option("--most", default=5, show_default=True, type=click.IntRange(1), help="Candidates to show.")
@ledger_option
@json_option
@click.pass_obj
def find(app: App, file: str, most: int, ledger: str) -> ExitCode:
    """Candidates for a picture among the registered images; a candidate is not a match."""
    from qimg_marks.fingerprint.hashes import fingerprint
    from qimg_marks.fingerprint.registry import candidates, rate_for, registered
    from qimg_marks.picture import open_picture

    picture = open_picture(file)
    if len(picture.pixels) > 1:
        raise DataError(f"{file} is a grid of {len(picture.pixels)} images", hint="look up one image at a time")
    with existing_ledger(app, ledger) as log:
        known = list(registered(log))
    compared = sum(len(images) for _, images in known)
    found = candidates(known, fingerprint(picture.pixels[0]), most=most)
    rate = rate_for(min(picture.whole.shape[:2]))
    rows = [
        [str(c.entry), str(c.index), "equal" if c.same else "candidate", str(c.phash), str(c.blocks), f"{c.pixels:.2f}"]
        for c in found
    ]
    chance = f"up to {min(1.0, rate.bound * compared):.2g} candidates by chance among {compared:,}"
    note = f"{chance}: {rate.found} of {rate.pairs:,} different pairs, {rate.what}, {rate.side} pixels"
    document = {
        "compared": compared,
        "by_chance": rate.bound * compared,
        "candidates": [
            {
                "entry": c.entry,
                "index": c.index,
                "equal": c.same,
                "phash": c.phash,
                "blocks": c.blocks,
                "pixels": c.pixels,
            }
            for c in found
        ],
    }
    head = ["ENTRY", "IMAGE", "WHAT", "PHASH", "BLOCKS", "PIXELS"]
    emit(document, [*(table(head, rows) if rows else ["no candidate"]), note])
    return ExitCode.OK if any(c.same for c in found) else ExitCode.INCONCLUSIVE


@marks.command()
@ledger_option
@json_option
@click.pass_obj
def blocklist(app: App, ledger: str) -> None:
    """Everything that is taken down, for whoever serves pictures."""
    from qimg_marks.takedown import listed, standing

    with existing_ledger(app, ledger) as log:
        held = [(e, listed(log, e)) for e in standing(log)]
    rows = [[str(e.index), e.time[:19], e.facts["reason"], e.facts["what"]] for e, _ in held]
    document = {"blocked": [{**b, "entry": e.index, "reason": e.facts["reason"]} for e, b in held]}
    emit(document, table(["ENTRY", "TIME", "REASON", "WHAT"], rows) if rows else ["nothing is taken down"])
