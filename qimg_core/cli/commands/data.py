"""``qimg data``: datasets (imports datasets)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.options import json_option, parse_size
from qimg_core.cli.output import emit, fields, table
from qimg_core.cli.runs import check_file
from qimg_core.cli.sources import open_data, registered
from qimg_core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.group()
def data() -> None:
    """List, download and look at datasets."""


@data.command(name="list")
@json_option
@click.pass_obj
def list_(app: App) -> None:
    """Datasets known by name, and whether they are on this machine."""
    from importlib.util import find_spec

    from qimg_core.datasets.official import OFFICIAL

    folders = {name: known.located() for name, known in OFFICIAL.items()}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "here": folder is not None,
            "about": f"{OFFICIAL[name].about}; {folder or f'get it with: qimg data get {name}'}",
        }
        for name, folder in folders.items()
    ]
    rows += [
        {
            "name": "digits",
            "here": find_spec("sklearn") is not None,
            "about": "1,797 digits of 8x8; comes with scikit-learn",
        },
    ]
    specs = app.registry.specs("dataset")
    rows += [{"name": name, "here": None, "about": specs[name].summary} for name in registered(app)]
    words = {True: "here", False: "not here", None: "?"}
    cells = [[str(row["name"]), words[row["here"]], str(row["about"])] for row in rows]
    more = "or a path: a folder of IDX files, an IDX file, an .npz, a folder of PNG files"
    emit({"datasets": rows}, [*table(["NAME", "STATUS", "ABOUT"], cells), more])


@data.command()
@click.argument("what", metavar="NAME|URL")
@click.option("--sha256", metavar="DIGEST", help="Of the file, for a URL: nothing is taken without it.")
@json_option
def get(what: str, sha256: str | None) -> None:
    """Download a dataset to the cache (QIMG_CACHE, or ~/.cache/qimg). Its digest is checked.

    Knows mnist and fashion-mnist; any other file by its URL and SHA-256.
    """
    from qimg_core.cli.progress import downloading
    from qimg_core.datasets.download import fetch
    from qimg_core.datasets.official import OFFICIAL

    if "://" in what:
        if sha256 is None:
            raise ConfigurationError("a URL needs --sha256", hint="the digest that its publisher states")
        with downloading(what) as progress:
            path = fetch(what, sha256, progress=progress)
    elif what in OFFICIAL:
        if sha256 is not None:
            raise ConfigurationError(f"the digests of {what} are pinned", hint="leave --sha256 away")
        known = OFFICIAL[what]
        with downloading(what) as progress:
            path = known.located() or known.fetch(progress=progress)
    else:
        raise UnknownName("dataset to download", what, list(OFFICIAL), hint="or give a URL and --sha256")
    emit({"path": path}, [f"{path}"])


@data.command()
@click.argument("what", metavar="NAME|PATH")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Which part.")
@click.option("--size", metavar="PIXELS", help="Bring the images to this size: 16, or 16x24 (height x width).")
@click.option("--png", metavar="FILE.png", help="Write the first 64 images as a picture.")
@json_option
@click.pass_obj
def show(app: App, what: str, split: str, size: str | None, png: str | None) -> None:
    """Size, classes, digest and origin of a dataset."""
    if png is not None:
        check_file(Path(png), ".png")
    source = open_data(app, what, split=split, size=parse_size(size))
    height, width, channels = source.shape
    labels = source.labels
    counts = {} if labels is None else {int(c): int((labels == c).sum()) for c in range(source.n_classes)}
    if png is not None:
        from qimg_core.images import Images
        from qimg_core.storage import ensure_folder

        ensure_folder(Path(png).parent)
        first = source.images(range(min(64, source.n)))
        Images(pixels=first, quantum=False, simulated=False).save(png, text={"qimg:data": source.digest})
    document = {
        "name": source.name,
        "n": source.n,
        "shape": list(source.shape),
        "classes": source.n_classes,
        "per_class": counts,
        "digest": source.digest,
        "provenance": dict(source.provenance),
        "png": png,
    }
    classes = "no labels" if labels is None else ", ".join(f"{c}: {k:,}" for c, k in counts.items())
    pairs = [
        ("images", f"{source.n:,} of {height}x{width}, {'grey' if channels == 1 else 'colour'}"),
        ("classes", classes),
        ("digest", source.digest),
        *((name, str(value)) for name, value in source.provenance.items()),
        ("picture", png or ""),
    ]
    emit(document, [source.name, *fields(pairs)])
