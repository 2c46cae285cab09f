"""The watermark in the pixels as a layer of `qimg mark` and a line of `qimg inspect` (imports qimg_marks.watermark)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, DataError, StorageError
from qimg_core.hooks import Evidence
from qimg_core.verdict import Verdict
from qimg_marks.credentials.manifest import SoftBinding
from qimg_marks.marking import Watermarker

if TYPE_CHECKING:
    from qimg_marks.picture import Picture

ALGORITHM = "org.qimg.spread-spectrum.v1"
"""Name of the soft binding; private, not in C2PA's list. Its value is the id of the key."""
LAYER = "watermark in the pixels"


def watermarker(key: str | None = None) -> Watermarker:
    """The layer with the key of a file; None: the key of the marks' folder.

    Raises:
        ConfigurationError, DataError, StorageError: no key, or a bad one.
    """
    from qimg_marks.watermark.key import find_key
    from qimg_marks.watermark.spread import METHOD, PSNR, mark_pixels

    found = find_key(key)
    return Watermarker(
        embed=lambda pixels: mark_pixels(pixels, found),
        facts={"method": METHOD, "key": found.id, "psnr": repr(PSNR)},
        binding=SoftBinding(alg=ALGORITHM, value=found.id, watermark=True),
    )


def watermark_evidence(picture: Picture) -> Evidence:
    """Is the watermark of the key that is at hand in the picture?"""
    from qimg_marks.watermark.detection import detect
    from qimg_marks.watermark.key import find_key

    try:
        key = find_key()
    except (ConfigurationError, DataError, StorageError) as error:
        words = f"not looked for: {error.message}"
        return Evidence(layer=LAYER, verdict=Verdict.NOT_APPLICABLE, found=words, facts={"hint": error.hint})
    if picture.pixels.shape[3] not in (1, 3):
        return Evidence(layer=LAYER, verdict=Verdict.INCONCLUSIVE, found="not looked for: the picture has transparency")
    try:
        finding = detect(picture.pixels, key)
    except DataError as error:
        return Evidence(layer=LAYER, verdict=Verdict.INCONCLUSIVE, found=f"not looked for: {error.message}")
    there = finding.verdict is Verdict.PASS
    if finding.verdict is Verdict.FAIL:
        proves, proves_not = "", "that it never was: a crop or a small copy takes it out"
    elif there:
        proves = (
            f"marked with the key {key.id}; chance would say so in at most {max(finding.p_bound, 1e-300):.2g} of cases"
        )
        proves_not = "that the owner of the key made the picture: a mark can be laid over another picture"
    else:
        proves, proves_not = "", "that it is not there: so few pixels may hide it; more images together decide"
    return Evidence(
        layer=LAYER,
        verdict=Verdict.NOT_APPLICABLE if finding.verdict is Verdict.FAIL else finding.verdict,
        found=("there: " if there else "not seen: ")
        + f"T = {finding.statistic:.2f} of {finding.threshold:.2f} needed, {finding.n_images} image(s), key {key.id}",
        proves=proves,
        proves_not=proves_not,
        facts=finding.to_json(),
    )
