"""Files and a ledger to findings in the noise (imports recorded, detection, shading; a model through recorded)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import ConfigurationError, DataError
from qimg_marks.watermark.detection import detect_noise, inverted
from qimg_marks.watermark.recorded import Recorded, model_of, place_of, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from qimg_core.generator import Generator
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry
    from qimg_marks.watermark.finding import WatermarkFinding
    from qimg_marks.watermark.key import WatermarkKey

    Bytes = npt.NDArray[np.uint8]
    Array = npt.NDArray[np.float32]
    File = tuple[str, Bytes, Mapping[str, str], str | None]
    """Name, uint8 (n, h, w, c), the file's text, and the run that made it; None: any run of the record."""


def in_noise(
    files: list[File],
    key: WatermarkKey,
    ledger: Ledger,
    registry: Registry,
    *,
    rate: float,
    together: bool,
    weights: Path | None = None,
    say: Callable[[str], None],
) -> list[tuple[str, WatermarkFinding]]:
    """Look for the mark in the noise of every file, or of all files as one.

    A file's images are those of its run, in order, where there are as many; the one that its text names, where it names
    one; those of files judged together, in the order given, where all of them are as many as the run made; else every
    nonce of the record is tried for each image by itself.

    Raises:
        ConfigurationError: the record has no noise of this key.
        DataError: files that cannot be judged together.
    """
    total, before = sum(len(pixels) for _, pixels, _, _ in files), 0
    known: list[tuple[Array, list[bytes], Recorded]] = []
    found: list[tuple[str, WatermarkFinding]] = []
    for name, pixels, text, run in files:
        draws = recorded(ledger, key.id, run=run)
        if not draws:
            where = "this ledger" if run is None else f"run {run}"
            raise ConfigurationError(
                f"the record has no noise of {where} that was marked with key {key.id}",
                hint="another --ledger or --key; or look in the pixels: --method pixels",
            )
        made = _named(draws, text)
        place = None if made is None or run is None else place_of(made, len(pixels), text)
        if together and place is None and made is not None and made.n == total:
            place = range(before, before + len(pixels))
        before += len(pixels)
        if made is None or place is None:
            if together:
                raise DataError(
                    f"{name}: which images of the record these are is not known",
                    hint="name the --run and give all of its images in order, or leave --together",
                )
            found += _searched(name, pixels, draws, key, ledger, registry, rate, weights)
            continue
        say(f"{name}: {len(pixels)} image(s) backwards through {made.facts['generator']}")
        labels = None if made.labels is None else [made.labels[i] for i in place]
        with model_of(ledger, made, registry, weights=weights) as model:
            noise = _noise(name, pixels, model, labels)
        nonces = [made.nonces[i] for i in place]
        known.append((noise, nonces, made))
        if not together:
            finding = detect_noise(noise, key, nonces, payload=made.bits, false_positive_rate=rate)
            found.append((name, finding))
    if together:
        if len({(made.payload, noise.shape[1:]) for noise, _, made in known}) > 1:
            raise DataError("--together takes images of one kind and one payload")
        noise, nonces = np.concatenate([k[0] for k in known]), [n for k in known for n in k[1]]
        finding = detect_noise(noise, key, nonces, payload=known[0][2].bits, false_positive_rate=rate)
        found.append((f"{len(files)} files", finding))
    return found


def _named(draws: list[Recorded], text: Mapping[str, str]) -> Recorded | None:
    """The draw that a file's text names, or the only one."""
    at = text.get("qimg:entry", "")
    named = [d for d in draws if at.isdecimal() and d.entry == int(at)]
    return named[0] if named else draws[0] if len(draws) == 1 else None


def _noise(name: str, pixels: Bytes, model: Generator, labels: list[int] | None) -> Array:
    try:
        noise: Array = inverted(pixels, model, labels)
    except NotImplementedError as error:
        raise ConfigurationError(f"{name}: {error}", hint="look in the pixels: --method pixels") from error
    return noise


def _searched(
    name: str,
    pixels: Bytes,
    draws: list[Recorded],
    key: WatermarkKey,
    ledger: Ledger,
    registry: Registry,
    rate: float,
    weights: Path | None,
) -> list[tuple[str, WatermarkFinding]]:
    """Each image against every nonce, once per model of the record; the tries of all of them are paid for."""
    from qimg_marks.watermark.finding import judge

    models: dict[tuple[str, str, str], list[Recorded]] = {}
    for d in draws:
        models.setdefault((d.facts["generator"], str(d.facts["weights"]), str(d.facts["config"])), []).append(d)
    tries = sum(d.n for d in draws)
    best: list[tuple[WatermarkFinding, Recorded, int] | None] = [None] * len(pixels)
    for group in models.values():
        with model_of(ledger, group[0], registry, weights=weights) as model:
            noise = _noise(name, pixels, model, None)
        for i, row in enumerate(noise):
            for d in group:
                f = detect_noise(row[None], key, d.nonces, payload=d.bits, search=True, false_positive_rate=rate)
                before = best[i]
                if before is None or f.statistic > before[0].statistic:
                    best[i] = (f, d, int(f.where.split()[-1]))
    found = []
    for i, kept in enumerate(best):
        assert kept is not None
        f, d, at = kept
        finding = judge(
            statistic=f.statistic,
            expected=f.expected,
            rate=rate,
            n_images=1,
            method=f.method,
            key=key.id,
            tries=tries,
            where=f"most like image {at} of run {d.run}, entry {d.entry}",
        )
        found.append((name if len(pixels) == 1 else f"{name}[{i}]", finding))
    return found
