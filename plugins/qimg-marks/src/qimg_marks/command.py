"""``qimg mark``: mark pictures of any origin (imports click; the layers when the command runs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, say, short
from qimg_core.errors import ConfigurationError
from qimg_marks.options import ledger_or_none, marks_option, password

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_marks.marking import Layer, Marked, Wanted
    from qimg_marks.sources import Stated

_LAYERS = "c2pa,fingerprint"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--layers", default=_LAYERS, show_default=True, metavar="NAMES", help="c2pa, watermark, label, fingerprint."
)
@click.option("--out", metavar="FILE|FOLDER", help="Where to; NAME.marked.png beside the picture by default.")
@click.option("--in-place", is_flag=True, help="Replace the pictures themselves.")
@click.option(
    "--provider",
    default="",
    metavar="NAME",
    help="The organisation that answers for them; that of the certificate by default.",
)
@click.option("--system", default="", metavar="NAME", help="What made them; from the ledger where it knows.")
@click.option("--system-version", "version", default="", metavar="V", help="Of it; from the ledger where it knows.")
@click.option("--time", default="", metavar="RFC3339", help="When they were made; from the ledger, else now.")
@click.option("--manipulated", is_flag=True, help="Made from a picture and changed, not generated.")
@click.option("--parent", metavar="FILE", help="The picture it was made from; its credentials stay inside.")
@click.option(
    "--quantum",
    type=click.Choice(["hardware", "simulated", "none", "unknown"]),
    default="unknown",
    help="For pictures that no ledger describes.",
)
@click.option("--licence", default="", metavar="SPDX", help="Of the pictures, e.g. CC-BY-4.0.")
@click.option("--detector", default="qimg inspect", show_default=True, help="Where anybody can check.")
@click.option("--label", "words", default="AI", show_default=True, help="Words of the visible label.")
@click.option("--label-place", type=click.Choice(["corner", "below"]), default="corner", show_default=True)
@click.option(
    "--label-share", type=float, default=0.05, show_default=True, help="Height of its letters, of the shortest side."
)
@click.option("--font", default="", metavar="FILE.ttf", help="For letters that the built-in font lacks.")
@click.option("--sidecar", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@click.option("--tsa", default="", metavar="URL", help="A time-stamp authority (RFC 3161); nothing else is contacted.")
@click.option(
    "--training", type=click.Choice(["notAllowed", "allowed", "constrained"]), default="notAllowed", show_default=True
)
@click.option("--aigc-producer", "producer", default="", metavar="CODE", help="Adds the AIGC block of GB 45438-2025.")
@click.option("--aigc-produce-id", "produce_id", default="", metavar="ID", help="Its number; the unique id by default.")
@click.option("--aigc-propagator", "propagator", default="", metavar="CODE")
@click.option("--aigc-propagate-id", "propagate_id", default="", metavar="ID")
@click.option("--watermark-key", default="", metavar="FILE", help="For the layer watermark.")
@click.option("--attribution", is_flag=True, help="Print the line for under each picture.")
@click.option("--template", default="", metavar="TEXT", help="Of that line: $origin, $system, $licence, ...")
@marks_option
@ledger_option
@json_option
@click.pass_obj
def mark(app: App, /, files: tuple[str, ...], **options: Any) -> None:
    """Mark pictures: PNG, JPEG, WebP, of any origin.

    What is said comes from the ledger where it describes the picture, from the options elsewhere. All pictures are
    marked, or none. With a ledger, an entry images.marked records each.
    """
    from qimg_marks.marking import mark as mark_one
    from qimg_marks.picture import open_picture
    from qimg_marks.sources import look_up, record_for
    from qimg_marks.writing import write_marked

    if options["out"] and options["in_place"]:
        raise ConfigurationError("--out and --in-place contradict each other")
    wanted = _wanted(options)
    stated = _stated(options, wanted)
    targets = _targets(files, options["out"], in_place=options["in_place"])
    ledger = ledger_or_none(app, options["ledger"], write=True)
    try:
        marked = []
        for name in files:
            picture = open_picture(name)
            known = None if ledger is None else look_up(ledger, picture)
            marked.append(mark_one(picture, record_for(picture, stated, known), wanted))
        lines = [_attribution(m, options["template"]) if options["attribution"] else "" for m in marked]
        _check_targets(marked, targets)
        entries: list[int | None] = [None] * len(marked) if ledger is None else _record(ledger, marked)
    finally:
        if ledger is not None:
            ledger.close()
    written = write_marked(marked, targets)
    if ledger is None:
        say(f"not recorded: there is no ledger in {options['ledger']} (--ledger names another)")
    documents = [_document(m, w, e, line) for m, w, e, line in zip(marked, written, entries, lines, strict=True)]
    emit({"marked": documents}, [line for d in documents for line in _lines(d)])


def _wanted(options: dict[str, Any]) -> Wanted:
    from qimg_marks.credentials.authority import load
    from qimg_marks.label import Label
    from qimg_marks.marking import Wanted
    from qimg_marks.picture import open_picture

    layers = frozenset(name.strip() for name in options["layers"].split(",") if name.strip())
    return Wanted(
        layers=cast("frozenset[Layer]", layers),
        label=Label(
            words=options["words"],
            place=options["label_place"],
            share=options["label_share"],
            font=options["font"],
        ),
        authority=load(Path(options["folder"]), password=password()) if "c2pa" in layers else None,
        watermark=_watermarker(options["watermark_key"]) if "watermark" in layers else None,
        sidecar=options["sidecar"],
        tsa=options["tsa"],
        training=options["training"],
        parent=open_picture(options["parent"]) if options["parent"] else None,
    )


def _watermarker(key: str) -> Any:
    from qimg_marks.marking_watermark import watermarker

    return watermarker(key or None)


def _stated(options: dict[str, Any], wanted: Wanted) -> Stated:
    from qimg_marks.sources import Stated

    names = ("provider", "system", "version", "time", "quantum", "licence", "detector")
    block = ("producer", "produce_id", "propagator", "propagate_id")
    if not options["producer"] and any(options[name] for name in block[1:]):
        raise ConfigurationError("the AIGC block needs its producer", hint="--aigc-producer CODE")
    if not options["provider"] and wanted.authority is not None:
        options = {**options, "provider": wanted.authority.subject}
    return Stated(
        origin="manipulated" if options["manipulated"] else "generated",
        **{name: options[name] for name in (*names, *block)},
    )


def _targets(files: tuple[str, ...], out: str | None, *, in_place: bool) -> list[Path]:
    """Where each picture goes.

    Raises:
        ConfigurationError: two to one file, or a file that is there already.
    """
    paths = [Path(name) for name in files]
    if in_place:
        targets = paths
    elif out is None:
        targets = [path.with_name(f"{path.stem}.marked{path.suffix}") for path in paths]
    elif len(paths) == 1 and Path(out).suffix.lower() == paths[0].suffix.lower() and not Path(out).is_dir():
        targets = [Path(out)]
    else:
        targets = [Path(out) / path.name for path in paths]
    if len(set(targets)) != len(targets):
        raise ConfigurationError("two of the pictures would be written to one file", hint="mark them one by one")
    for target in targets:
        if target.exists() and not in_place:
            raise ConfigurationError(f"{target} exists already", hint="choose another --out, or remove it")
    return targets


def _check_targets(marked: list[Marked], targets: list[Path]) -> None:
    from qimg_core.cli.runs import check_folder
    from qimg_marks.picture import SIDECAR

    beside_all = [target.with_suffix(SIDECAR) for target in targets]
    beside = [path for m, path in zip(marked, beside_all, strict=True) if m.sidecar]
    if len(set(beside)) != len(beside):
        raise ConfigurationError("two pictures would share one sidecar", hint="--sidecar never, or other names")
    for m, target, path in zip(marked, targets, beside_all, strict=True):
        if path.exists() and (m.sidecar or m.after.data != m.before.data):
            raise ConfigurationError(
                f"{path} holds the credentials that {target} had", hint="write elsewhere with --out"
            )
    for folder in {target.parent for target in targets}:
        check_folder(folder)


def _record(ledger: Ledger, marked: list[Marked]) -> list[int | None]:
    """The entries, in one commit and under a signed head, before any file is written."""
    from qimg_marks.marking import draft

    entries = ledger.extend([draft(ledger, m) for m in marked])
    ledger.checkpoint()
    return [entry.index for entry in entries]


def _attribution(marked: Marked, template: str) -> str:
    from qimg_marks.attribution import DEFAULT, attribution

    return attribution(marked.record, template or DEFAULT)


def _document(marked: Marked, written: list[Path], entry: int | None, line: str) -> dict[str, Any]:
    return {
        "files": [str(path) for path in written],
        "entry": entry,
        "unique_id": marked.record.unique_id,
        "record": marked.record.to_json(),
        "layers": list(marked.layers),
        "before": {"file": marked.before.file_digest, "pixels": marked.before.digest},
        "after": {"file": marked.after.file_digest, "pixels": marked.after.digest},
        "bytes": {
            "before": len(marked.before.data),
            "after": len(marked.after.data),
            "credentials": len(marked.manifest),
        },
        "attribution": line or None,
    }


def _lines(document: dict[str, Any]) -> list[str]:
    sizes, layers = document["bytes"], ", ".join(layer["layer"] for layer in document["layers"])
    place = "" if document["entry"] is None else f"entry {document['entry']}"
    changed = document["before"]["pixels"] != document["after"]["pixels"]
    return [
        f"{' and '.join(document['files'])}: {layers}",
        *fields(
            [
                ("recorded", place),
                ("id", short(document["unique_id"])),
                ("pixels", "changed by a mark" if changed else "as they were"),
                (
                    "bytes",
                    f"{sizes['before']:,} before, {sizes['after']:,} after, credentials {sizes['credentials']:,}",
                ),
                ("attribution", document["attribution"] or ""),
            ]
        ),
    ]
