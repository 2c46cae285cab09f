"""Planted bad sets: images whose fault is known, to see that the metrics see it on one's own data (numpy, scipy).

Everything is made of real images kept out of the reference, so that a metric which ranks `real` first and a fault
behind it is right, and one that does not is blind to that fault. `CLAIMS` says which faults each metric claims to see
on any data, `WIDE_BLUR` what is claimed under a condition, `must_see` both for images of a size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import Estimate, generator
from qimg_metrics.evaluation import evaluate_against, table
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.reference import prepare_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from qimg_metrics.evaluation import Evaluation
    from qimg_metrics.features import FeatureNetwork

    Set = tuple[NDArray[np.floating], NDArray[np.int64]]

FAULTS = ("blur", "noise", "mean image", "copies", "one class", "labels mixed up")

_QUALITY = ("blur", "noise", "mean image")
_COLLAPSE = ("mean image", "one class")
_ASKED = ("mean image", "one class", "labels mixed up")
CLAIMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kid": ("low", ("noise", "mean image", "one class")),
    "frechet": ("low", (*_QUALITY, "one class")),
    "recall": ("high", _COLLAPSE),
    "coverage": ("high", (*_QUALITY, "one class")),
    "class_accuracy": ("high", _ASKED),
    "class_entropy": ("high", _COLLAPSE),
    "class_jsd": ("low", _COLLAPSE),
    "nn_ratio": ("one", ("noise", "mean image", "copies")),
    "ndb": ("low", ("blur", *_COLLAPSE)),
    "sliced_wasserstein": ("low", (*_QUALITY, "one class")),
    "authenticity": ("high", ("copies",)),
    "structural_coherence": ("high", (*_QUALITY, "one class", "labels mixed up")),
    "train_on_synthetic": ("high", _ASKED),
    "accepted": ("high", ("noise", *_ASKED)),
}
"""Metric: (which way is good, faults that it claims to see). ``one``: good at 1, bad on either side.

``nn_ratio`` claims nothing about blur. A blur takes from an image the detail that its nearest neighbour does not share,
which brings it nearer (the mean of what may be is what least squares ask for: Mathieu et al., ICLR 2016), and also what
both share, which takes it farther. Which of the two is more depends on data and width, and between them the ratio is 1.
"""

WIDE_BLUR = ("kid",)
"""Metrics that claim to see a blur only if it is `wide`."""

BLUR = 3
"""Width of the planted blur, in pixels."""

BAND = 3
"""Cycles for each image: a mean over w of s pixels has its first zero at s / w. Letters are read in a band about 3
cycles for each letter (Solomon and Pelli, Nature 369, 1994), and the features are those of a network that learned to
read the classes: a blur that leaves this band is one that they need not see."""


def wide(side: int, blur: int = BLUR) -> bool:
    """Whether a blur takes the band by which classes are read, for images of ``side`` pixels (the smaller side)."""
    return BAND * blur >= side


def must_see(metric: str, side: int, blur: int = BLUR) -> tuple[str, ...]:
    """The faults that a metric claims to see in images of ``side`` pixels with a blur of such a width.

    Raises:
        KeyError: no such metric.
    """
    return (*(("blur",) if metric in WIDE_BLUR and wide(side, blur) else ()), *CLAIMS[metric][1])


def claimed(metric: str) -> str:
    """The claims of a metric in words, with the condition of the blur.

    Raises:
        KeyError: no such metric.
    """
    return ", ".join((*(("blur if wide",) if metric in WIDE_BLUR else ()), *CLAIMS[metric][1]))


def planted_sets(
    images: ArrayLike,
    labels: ArrayLike,
    train: ArrayLike,
    train_labels: ArrayLike,
    *,
    seed: int = 0,
    blur: int = BLUR,
) -> dict[str, Set]:
    """``real`` and each of `FAULTS`, as many images as are given, each set with the classes it was "asked" for.

    Args:
        images: real images kept out of the training images (n, h, w, c) in [0, 1].
        labels: their classes (n,).
        train: the training images (m, h, w, c), m >= n.
        train_labels: their classes (m,).
        seed: of noise and choices.
        blur: width of the means, in pixels, odd.

    Returns:
        By name: *blur*, ``blur`` x ``blur`` means; *noise*, normal of standard deviation 0.3; *mean image*, the mean
        of all training images, n times; *copies*, training images; *one class*, images of the most frequent class
        whatever was asked; *labels mixed up*, the real images in another order than asked.

    Raises:
        DataError: bad arrays, fewer training images than images, or a blur of an even width or none.
    """
    real, pool = checked_images(images), checked_images(train, "training images")
    asked = checked_labels(labels, len(real))
    pool_labels = checked_labels(train_labels, len(pool), "training labels")
    n = len(real)
    if len(pool) < n:
        raise DataError(f"wanted {n} training images to copy, got {len(pool)}")
    if blur < 3 or blur % 2 == 0:
        raise DataError(f"wanted a blur of 3, 5, 7 ... pixels, got {blur}")
    rng = generator(seed, "planted")
    some = rng.permutation(len(pool))[:n]
    frequent = np.flatnonzero(asked == np.bincount(asked).argmax())
    noisy = np.clip(real + 0.3 * rng.standard_normal(real.shape), 0, 1)
    return {
        "real": (real, asked),
        "blur": (np.clip(uniform_filter(real, size=(1, blur, blur, 1)), 0, 1), asked),
        "noise": (noisy.astype(real.dtype), asked),
        "mean image": (np.repeat(pool.mean(axis=0, dtype=np.float64)[None].astype(real.dtype), n, axis=0), asked),
        "copies": (pool[some], pool_labels[some]),
        "one class": (real[rng.choice(frequent, n)], asked),
        "labels mixed up": (real, rng.permutation(asked)),
    }


def judge_planted(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    network: FeatureNetwork,
    *,
    n: int = 2000,
    seed: int = 0,
    resamples: int = 100,
    allow_small: bool = False,
) -> dict[str, Evaluation]:
    """Every metric of every planted set; `n` random training images are kept out of the reference to be ``real``.

    Raises:
        DataError: as `prepare_reference`: bad arrays, too few images, a network for other data.
    """
    pool = checked_images(train, "training images")
    labels = checked_labels(train_labels, len(pool), "training labels")
    order = generator(seed, "planted_order").permutation(len(pool))
    kept, rest = order[:n], order[n:]
    reference = prepare_reference(
        train=pool[rest],
        train_labels=labels[rest],
        test=test,
        test_labels=test_labels,
        network=network,
        n=n,
        seed=seed,
        allow_small=allow_small,
    )
    sets = planted_sets(pool[kept], labels[kept], pool[rest], labels[rest], seed=seed)
    return {
        name: evaluate_against(images, asked, reference, resamples=resamples, allow_small=allow_small)
        for name, (images, asked) in sets.items()
    }


def seen(metric: str, fault: str, judged: Mapping[str, Evaluation]) -> bool:
    """Whether the metric puts the fault behind real images: its whole interval beyond that of `real`.

    For ``nn_ratio``, whose good value is 1, the interval must lie outside 0.9 .. 1.1 and not touch that of `real`.

    Raises:
        KeyError: no such metric or set.
    """
    good, bad = (_of(metric, judged[name]) for name in ("real", fault))
    way = CLAIMS[metric][0]
    if way == "one":
        return (bad.high < min(0.9, good.low)) or (bad.low > max(1.1, good.high))
    return bad.high < good.low if way == "high" else bad.low > good.high


def planted_table(judged: Mapping[str, Evaluation]) -> str:
    """Markdown: the metrics in rows, the sets in columns; then which faults each sees, beside what it claims."""
    lines = ["| metric | claims to see | sees |", "|---|---|---|"]
    for metric in CLAIMS:
        found = [fault for fault in FAULTS if seen(metric, fault, judged)]
        lines.append(f"| {metric} | {claimed(metric)} | {', '.join(found)} |")
    short = "\n".join(line for line in table(judged).splitlines() if "class_accuracy[" not in line)
    note = f"A blur is wide where {BAND} times its width is the image's side or more."
    return "\n".join([short, "", *lines, "", note, ""])


def _of(metric: str, evaluation: Evaluation) -> Estimate:
    return next(e for e in evaluation.estimates if e.name == metric)
