"""``qimg watermark``: keys, and is an image marked? (imports click, qimg_core's command-line parts; the rest late)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit, say
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_marks.watermark.finding import WatermarkFinding
    from qimg_marks.watermark.key import WatermarkKey

    Bytes = npt.NDArray[np.uint8]


@click.group()
def watermark() -> None:
    """Watermarks in the noise or the pixels: their keys, and the detector."""


@watermark.group()
def key() -> None:
    """The secret that marks, and finds marks again."""


@key.command(name="new")
@click.argument("file", metavar="FILE")
@json_option
def key_new(file: str) -> None:
    """Write a new key, readable by you alone. Without it, images marked with it are not found again."""
    from qimg_marks.watermark.key import VARIABLE, WatermarkKey

    made = WatermarkKey.new(file)
    lines = [f"{file}: watermark key {made.id}", f"  use: export {VARIABLE}={file}   (keep a copy; show it to nobody)"]
    emit({"file": file, "key": made.id}, lines)


@key.command(name="show")
@click.argument("file", metavar="FILE")
@json_option
def key_show(file: str) -> None:
    """Print a key's id, by which records name it. Never the key."""
    from qimg_marks.watermark.key import WatermarkKey

    found = WatermarkKey.load(file)
    emit({"file": file, "key": found.id}, [f"{file}: watermark key {found.id}"])


@frozen(kw_only=True)
class _Picture:
    name: str
    pixels: Bytes
    text: Mapping[str, str]


@watermark.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--key", "key_file", metavar="FILE", help="The key's file; QIMG_WATERMARK_KEY by default.")
@click.option(
    "--method",
    type=click.Choice(["auto", "noise", "pixels"]),
    default="auto",
    show_default=True,
    help="Where to look; auto: in the noise where the record has marked noise of the run, else in the pixels.",
)
@click.option("--rate", type=float, default=1e-6, show_default=True, help="False-positive rate.")
@click.option("--together", is_flag=True, help="Judge the images of all files as one: weak marks add up.")
@click.option("--resync", is_flag=True, help="Pixels: search where a cropped or shifted image once lay.")
@click.option("--canvas", metavar="HxW", help="With --resync: the size before the crop; that of the file by default.")
@click.option("--run", metavar="RUN", help="Noise: the run that made the images; the files' own word by default.")
@click.option("--search", is_flag=True, help="Noise: try every marked image of the record.")
@click.option("--weights", metavar="FILE", help="Noise: the model's weights, where the record does not hold them.")
@ledger_option
@json_option
@click.pass_obj
def detect(
    app: App,
    files: tuple[str, ...],
    key_file: str | None,
    method: str,
    rate: float,
    together: bool,
    resync: bool,
    canvas: str | None,
    run: str | None,
    search: bool,
    weights: str | None,
    ledger: str,
) -> ExitCode:
    """Were these images marked with this key?

    Exit code 0 where all are, 1 where one is not, 3 where a mark might hide. A mark says that the owner of the key
    marked an image, not that the image is authentic.
    """
    from qimg_core.cli.options import parse_size
    from qimg_marks.picture import open_picture
    from qimg_marks.watermark.finding import threshold
    from qimg_marks.watermark.key import find_key
    from qimg_marks.watermark.recorded import recorded

    threshold(rate)  # refuses a bad rate before anything is computed
    secret = find_key(key_file)
    if search and run is not None:
        raise ConfigurationError("--search and --run contradict each other", hint="--search tries every run")
    size = parse_size(canvas)
    opened = [_Picture(name=f, pixels=p.pixels, text=p.text) for f, p in ((f, open_picture(f)) for f in files)]
    notes: list[str] = []
    log = _ledger(app, ledger, needed=method == "noise" or search or run is not None)
    try:
        named = [run or p.text.get("qimg:run") for p in opened]
        if method == "pixels" or (method == "auto" and not search and not _marked_runs(log, secret, named)):
            shape = (size, size) if isinstance(size, int) else size
            found = _in_pixels(opened, secret, rate, together=together, resync=resync or canvas is not None, size=shape)
            if method == "auto" and log is not None and not all(named) and recorded(log, secret.id):
                notes.append(
                    "the record has noise marked with this key, and a file names no run: try --run or --search"
                )
        else:
            if log is None:
                raise ConfigurationError(f"there is no ledger in {ledger}", hint="name the images' with --ledger")
            if together and search:
                raise ConfigurationError("--search tries single images; --together needs to know which they are")
            from qimg_marks.watermark.in_noise import in_noise

            found = in_noise(
                [(p.name, p.pixels, p.text, None if search else r) for p, r in zip(opened, named, strict=True)],
                secret,
                log,
                app.registry,
                rate=rate,
                together=together,
                weights=None if weights is None else Path(weights),
                say=say,
            )
    finally:
        if log is not None:
            log.close()
    return _report(found, secret, notes)


def _ledger(app: App, where: str, *, needed: bool) -> Ledger | None:
    try:
        return existing_ledger(app, where)
    except ConfigurationError:
        if needed:
            raise
        return None


def _marked_runs(log: Ledger | None, key: WatermarkKey, runs: list[str | None]) -> bool:
    """Does the record have noise of this key for every one of the files?"""
    from qimg_marks.watermark.recorded import recorded

    return log is not None and all(run is not None and recorded(log, key.id, run=run) for run in runs)


def _in_pixels(
    opened: list[_Picture],
    key: WatermarkKey,
    rate: float,
    *,
    together: bool,
    resync: bool,
    size: tuple[int, int] | None,
) -> list[tuple[str, WatermarkFinding]]:
    import numpy as np

    from qimg_marks.watermark.detection import detect as look

    for p in opened:
        if p.pixels.shape[3] not in (1, 3):
            raise DataError(f"{p.name} has transparency", hint="save it without")
    if together and len({p.pixels.shape[1:] for p in opened}) > 1:
        shapes = sorted({"x".join(map(str, p.pixels.shape[1:])) for p in opened})
        raise DataError(f"--together takes images of one size, got {', '.join(shapes)}")
    groups = (
        [(f"{len(opened)} files", np.concatenate([p.pixels for p in opened]))]
        if together
        else [(p.name, p.pixels) for p in opened]
    )
    return [
        (name, look(pixels, key, false_positive_rate=rate, resynchronise=resync, canvas=size))
        for name, pixels in groups
    ]


def _report(found: list[tuple[str, WatermarkFinding]], key: WatermarkKey, notes: list[str]) -> ExitCode:
    verdicts = [finding.verdict for _, finding in found]
    worst = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in verdicts), Verdict.PASS)
    document: dict[str, Any] = {
        "key": key.id,
        "verdict": worst.value,
        "findings": [{"file": name, **finding.to_json()} for name, finding in found],
        "notes": notes,
    }
    words = {
        Verdict.PASS: "marked with this key (not: authentic)",
        Verdict.FAIL: "no mark of this key there; an unharmed one would have been seen",
        Verdict.INCONCLUSIVE: "no mark seen, and one might hide: judge more images --together",
    }
    lines = []
    for name, f in found:
        tried = f", the best of {f.tries:,} tries" if f.tries > 1 else ""
        lines.append(f"{coloured(f.verdict)}: {name}: {words[f.verdict]}")
        lines.append(
            f"  {f.n_images} image(s), in the {f.method}: T = {f.statistic:.2f}, needed {f.threshold:.2f} "
            f"(false-positive rate {f.false_positive_rate:g}{tried}); key {f.key}"
        )
        if f.where:
            lines.append(f"  {f.where}")
    emit(document, [*lines, *(f"  note: {note}" for note in notes)])
    return verdict_code(worst)
