"""The hook `qimg_noise` of the source ``watermark``: initial noise that carries a mark (imports qimg_core, shading).

``QIMG_NOISE_SOURCE=watermark qimg generate ...``, with the key of `qimg_marks.watermark.key.find_key` and, where
``QIMG_WATERMARK_PAYLOAD`` is set, that payload in hexadecimal digits. The numbers are a function of key, run and seed,
so an interrupted run that goes on begins with the same. A plan computes them and sends nothing.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.hooks import SuppliedNoise
from qimg_core.seeds import derive_seed
from qimg_marks.watermark.bits import NONCE_RULE, image_nonce
from qimg_marks.watermark.key import WatermarkKey, find_key
from qimg_marks.watermark.shading import MOST_PAYLOAD, check_cells, message, shade

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Bits = npt.NDArray[np.uint8]

SOURCE = "watermark"
METHOD = "gaussian-shading/1"
PAYLOAD = "QIMG_WATERMARK_PAYLOAD"


def supply(context: dict[str, Any]) -> SuppliedNoise | None:
    """Marked noise for the hook's context where the user asked for the source ``watermark``; else None.

    Raises:
        ConfigurationError: ``watermark:`` with something behind it, or no key.
        DataError: noise too small to carry a mark, or a bad payload.
    """
    name, colon, _ = (context["source"] or "").partition(":")
    if name != SOURCE:
        return None
    if colon:  # what is asked for goes into the record, and a path may name a person
        raise ConfigurationError(
            f"the noise source {SOURCE} takes nothing behind its name", hint="the key's file is QIMG_WATERMARK_KEY=FILE"
        )
    check_cells(context["shape"])
    key, payload = find_key(), parse_payload(os.environ.get(PAYLOAD) or None)
    values = marked_noise(
        key,
        context["run"],
        context["seed"],
        range(context["start"], context["start"] + context["n"]),
        context["shape"],
        payload=payload,
    )
    facts = {
        "method": METHOD,
        "key": key.id,
        "nonce": NONCE_RULE,
        "payload": None if payload is None else "".join(map(str, payload)),
    }
    return SuppliedNoise(values=values, source=SOURCE, facts=facts)


def marked_noise(
    key: WatermarkKey,
    run: str,
    seed: int,
    indices: Sequence[int],
    shape: Sequence[int],
    *,
    payload: Bits | None = None,
) -> npt.NDArray[np.float32]:
    """Standard normal noise (len(indices), *shape) whose signs are the key's.

    Args:
        key: whose.
        run: id of the run.
        seed: of the draw; the sizes of the numbers come from it, by image.
        indices: numbers of the images.
        shape: of one image's noise.
        payload: see `qimg_marks.watermark.shading.message`.

    Raises:
        DataError: too few numbers in ``shape``.
    """
    check_cells(shape)
    cells = int(np.prod(shape))
    out = np.empty((len(indices), *shape), np.float32)
    for row, index in enumerate(indices):
        generator = np.random.Generator(np.random.PCG64(derive_seed(seed, SOURCE, run, index)))
        uniform = (generator.integers(0, 2**52, cells) + 0.5) / 2**52  # never 0 nor 1
        bits = message(key, image_nonce(run, seed, index), cells, payload)
        out[row] = shade(bits, uniform).reshape(tuple(shape))
    return out


def parse_payload(text: str | None) -> Bits | None:
    """Hexadecimal digits to bits, most significant first; None stays None.

    Raises:
        DataError: no hexadecimal digits, or more than 64 bits.
    """
    if text is None:
        return None
    if not re.fullmatch(r"[0-9A-Fa-f]+", text) or 4 * len(text) > MOST_PAYLOAD:
        raise DataError(f"a payload is 1 to {MOST_PAYLOAD // 4} hexadecimal digits, got {text!r}")
    bits = f"{int(text, 16):0{4 * len(text)}b}"
    return np.array([int(b) for b in bits], np.uint8)


def payload_bits(text: str | None) -> Bits | None:
    """The payload as the record has it, ``0101...``, as bits."""
    return None if text is None else np.array([int(b) for b in text], np.uint8)
