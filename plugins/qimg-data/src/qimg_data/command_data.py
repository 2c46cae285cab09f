"""``qimg manifest agreement | scan | synthetic``: looking into data (imports agreement, duplicates, suspects)."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, parse_size
from qimg_core.cli.output import emit, fields, short
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger.canonical import real
from qimg_core.storage import ensure_folder, storage_error
from qimg_data.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from qimg_data.building import hash_files, split_facts, write_manifest
from qimg_data.duplicates import BITS, DISTANCE, near_duplicates
from qimg_data.manifest import FILE, from_fields
from qimg_data.suspects import NEIGHBOURS, find_suspects
from qimg_data.synthetic import open_synthetic

if TYPE_CHECKING:
    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("table", type=_PATH, metavar="FILE.csv")
@click.option(
    "--level", type=click.Choice(["nominal", "ordinal", "interval", "ratio"]), default="nominal", show_default=True
)
@json_option
def agreement(table: Path, level: Any) -> None:
    """Agreement of annotators: a column for each, a row for each unit, an empty cell where somebody gave no label.

    Cohen's kappa where there are two, Fleiss' where nothing is missing, Krippendorff's alpha always.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise storage_error(error, "read", table) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table.name}: not a CSV in UTF-8") from error
    if len(head) < 2 or any(len(row) != len(head) for row in rows):
        raise DataError(f"{table.name}: wanted a head and rows of at least two columns, all of one length")
    units = [[cell.strip() for cell in row] for row in rows]
    whole = all(all(unit) for unit in units)
    document: dict[str, Any] = {"units": len(units), "annotators": len(head), "level": level}
    document["krippendorff_alpha"] = real(krippendorff_alpha(_numbers(units, level), level))
    document["fleiss_kappa"] = real(fleiss_kappa(units)) if whole else None
    two = whole and len(head) == 2
    document["cohen_kappa"] = real(cohen_kappa(*zip(*units, strict=True))) if two else None
    emit(document, fields([(k.replace("_", " "), _short(v)) for k, v in document.items() if v is not None]))


def _numbers(units: list[list[str]], level: str) -> list[list[float | None]]:
    if level == "nominal":
        codes = {label: float(i) for i, label in enumerate(sorted({c for u in units for c in u if c}))}
        return [[codes[c] if c else None for c in u] for u in units]
    try:
        return [[float(c) if c else None for c in u] for u in units]
    except ValueError as error:
        raise DataError(f"labels of {level} level are numbers: {error}") from error


def _short(value: Any) -> str:
    return f"{float(value):.3f}" if isinstance(value, str) and "." in value else str(value)


@click.command()
@click.argument("data")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True)
@click.option("--size", metavar="PIXELS", help="Bring the images to this size first.")
@click.option("--first", type=click.IntRange(1), metavar="N", help="Look at the first N images only.")
@click.option("--bits", type=click.IntRange(0, 7), default=BITS, show_default=True, help="Of the perceptual hash.")
@click.option("--distance", type=float, default=DISTANCE, show_default=True, help="RMS difference of near-duplicates.")
@click.option("--neighbours", type=click.IntRange(1), default=NEIGHBOURS, show_default=True, help="That vote.")
@json_option
@click.pass_obj
def scan(
    app: App, data: str, split: str, size: str | None, first: int | None, bits: int, distance: float, neighbours: int
) -> int:
    """Near-duplicates, labels that their neighbours deny, and outliers; exit code 1 where there are any.

    These are suspects for somebody to look at, not verdicts.
    """
    source = open_data(app, data, split=split, size=parse_size(size))
    n = source.n if first is None else min(first, source.n)
    images = source.images(range(n))
    pairs = near_duplicates(images, bits=bits, distance=distance)
    document: dict[str, Any] = {
        "data": source.digest,
        "images": n,
        "near_duplicates": [
            {"first": p.first, "second": p.second, "bits": p.bits, "distance": real(p.distance)} for p in pairs
        ],
    }
    again = len({p.second for p in pairs})
    lines = [("near-duplicates", f"{len(pairs):,} pairs, {again:,} images ({100 * again / n:.2f} %)")]
    if source.labels is not None:
        labels = source.labels[:n]
        found = find_suspects(images, labels, neighbours=neighbours)
        document["flips"] = [
            {"image": i, "label": int(labels[i]), "neighbours": w}
            for i, w in zip(found.flips, found.wanted, strict=True)
        ]
        document["outliers"] = [{"image": i, "score": real(float(found.scores[i]))} for i in found.outliers]
        worst = ", ".join(f"{f['image']} ({f['label']}, rather {f['neighbours']})" for f in document["flips"][:8])
        lines += [("labels denied", f"{len(found.flips):,}: {worst}" if worst else "0")]
        lines += [("outliers", f"{len(found.outliers):,}: " + ", ".join(str(i) for i in found.outliers[:12]))]
    else:
        document["flips"] = document["outliers"] = None
        lines += [("labels", "none: flips and outliers need them")]
    emit(document, [f"{source.name}, {n:,} images", *fields(lines)])
    return ExitCode.FAILED if pairs or document["flips"] or document["outliers"] else ExitCode.OK


@click.command()
@click.argument("folder", type=_PATH)
@json_option
def synthetic(folder: Path) -> None:
    """Write the synthetic baseline, with its manifest, into a new folder. `--data synthetic` needs no folder."""
    import numpy as np

    if folder.exists():
        raise ConfigurationError(f"{folder} exists already", hint="name a new folder")
    train, test = open_synthetic(split="train"), open_synthetic(split="test")
    ensure_folder(folder)
    arrays = {"x_train": train.pixels, "y_train": train.labels, "x_test": test.pixels, "y_test": test.labels}
    np.savez_compressed(folder / "synthetic.npz", **arrays)
    made = from_fields(
        {
            "name": "synthetic",
            "version": "1",
            "description": "drawn seven-segment digits, 28x28",
            "created": str(dt.datetime.now(dt.UTC).date()),
            "files": hash_files(folder / "synthetic.npz"),
            "splits": {"train": split_facts(train), "test": split_facts(test)},
            "source": "qimg-data",
            "collected": "drawn by qimg_data.synthetic; shows nobody's data",
            "licence": "CC0-1.0",
            "consent": "not_needed",
            "purposes": ["research", "education", "prototype", "evaluation", "publication", "production"],
            "annotation": "by construction",
            "sensitivity": "synthetic",
            "inputs": "synthetic",
        }
    )
    path = folder / f"synthetic.npz{FILE.removeprefix('qimg')}"
    write_manifest(path, made)
    emit(
        {"data": str(folder / "synthetic.npz"), "manifest": str(path), "train": train.digest, "test": test.digest},
        [f"{folder / 'synthetic.npz'}: train {short(train.digest)}, test {short(test.digest)}"],
    )


COMMANDS = (agreement, scan, synthetic)
