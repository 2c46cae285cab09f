"""Did the same noise give the same images, up to shots? A paired permutation test (floor 1; imports errors).

Image i of either batch begins with the same noise and class. Where both devices are the same, the two are draws
of one distribution and may change places, so every choice of signs of the differences is as likely as the one
seen: an exact test whatever the distribution of shots is, as long as the images' shots are independent of one another.
"""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from qimg_core.errors import DataError

_BLOCK = 4096


@frozen(kw_only=True)
class Paired:
    """What the test says.

    Args:
        p: chance of a shift as large or larger from one device.
        shift: root mean square over pixels of the mean difference, in [0, 1].
        detectable: the smallest such shift, equal for all images, that the test sees with the asked power; infinite
            where so few images can show nothing.
        pairs: images of each batch.
    """

    p: float
    shift: float
    detectable: float
    pairs: int


def paired_test(was: Any, now: Any, *, seed: int, alpha: float, power: float = 0.9, draws: int = 20_000) -> Paired:
    """Compare two batches of images made from the same noise.

    The statistic adds two squared lengths: of the sum of the differences (a shift), and of their sum weighted with
    the pair's own contrast (fading, as noise on a device gives). Its null distribution comes from random signs.
    A shift of length L is seen where L exceeds the bound plus the noise's own length (triangle inequality), hence
    ``detectable``.

    Args:
        was: uint8 (n, h, w, c).
        now: the same images, made again.
        seed: of the signs.
        alpha: size of the test.
        power: of `Paired.detectable`.
        draws: sign vectors.

    Raises:
        DataError: of different shapes, or no images.
    """
    import numpy as np

    a, b = np.asarray(was), np.asarray(now)
    if a.shape != b.shape or not len(a):
        raise DataError(f"wanted two batches of the same images, got {a.shape} and {b.shape}")
    d = (b.astype(np.float64) - a.astype(np.float64)).reshape(len(a), -1) / 255
    n, pixels = d.shape
    middle = (b.astype(np.float64) + a.astype(np.float64)).reshape(n, -1) / 510  # the same whichever image is first
    contrast = middle - middle.mean(0)
    spread = math.sqrt(float((contrast**2).mean()))
    faded = d * contrast / spread if spread > 0 else np.zeros_like(d)
    gram = d @ d.T + faded @ faded.T
    seen, length = float(gram.sum()), float((d @ d.T).sum())
    rng = np.random.Generator(np.random.PCG64(seed))
    found = []
    for start in range(0, draws, _BLOCK):
        signs = rng.choice((-1.0, 1.0), size=(min(_BLOCK, draws - start), n))
        found.append(np.einsum("ij,jk,ik->i", signs, gram, signs, optimize=True))
    null = np.concatenate(found)
    above = int((null >= seen * (1 - 1e-9)).sum())
    scale = n * math.sqrt(pixels)
    detectable = math.inf
    if 2.0 ** (1 - n) <= alpha:
        bound, noise = np.sqrt(np.maximum(np.quantile(null, [1 - alpha, power]), 0))
        detectable = float(bound + noise) / scale
    return Paired(
        p=(1 + above) / (1 + draws), shift=math.sqrt(max(length, 0.0)) / scale, detectable=detectable, pairs=n
    )
