"""All image metrics of one set of generated images in one frozen value, and arms side by side (numpy, torch).

No number stands alone here: precision is fooled by a mean image, class entropy by noise, a Frechet distance by a small
N. An `Evaluation` therefore holds the whole vector, each with its interval and N, and the floor that real images reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, generator, number
from qimg_metrics.image.acceptance import accepted
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.classes import class_accuracies, class_accuracy, class_entropy, class_jsd
from qimg_metrics.image.floor import floor_estimate, frechet_ratio
from qimg_metrics.image.frechet import distance_and_draws, distance_estimate
from qimg_metrics.image.kid import kid
from qimg_metrics.image.memorisation import authenticity_of, nearest_training, ratio_of_distances
from qimg_metrics.image.ndb import ndb
from qimg_metrics.image.prdc import prdc
from qimg_metrics.image.reference import Reference, check_n, flat, prepare_reference
from qimg_metrics.image.sliced import sliced_wasserstein
from qimg_metrics.image.structure import likeness_to_class, structural_coherence
from qimg_metrics.image.usefulness import train_and_test

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from qimg_metrics.features import FeatureNetwork

FORMAT = "qimg-evaluation/1"
K = 5


@attrs.frozen(kw_only=True)
class Evaluation:
    """Every metric of one set of generated images, in the order in which they should be read.

    Args:
        kid: unbiased kernel distance from all test images.
        frechet: Frechet distance from all test images.
        frechet_floor: what as many real training images get.
        frechet_ratio: the one over the other.
        frechet_floor_asked, frechet_ratio_asked: the same with the asked class shares in every real draw, which is the
            fair comparison for a conditional generator; None where nothing was asked or a class has too few images.
        precision, recall, density, coverage: against as many test images as there are generated ones.
        class_accuracy: share classified as asked, None where nothing was asked.
        class_entropy: of the found classes, 1 = equal shares.
        class_jsd: of the found classes from those asked (or from the training labels).
        nn_ratio: nearest-training distance over that of test images.
        ndb: share of feature bins whose share of images differs from the test images'.
        sliced_wasserstein: distance of the pixels from those of all test images; needs no network.
        sliced_wasserstein_floor: what as many real training images get.
        authenticity: share farther from its nearest training image than that one is from its own; 0 for copies.
        structural_coherence: likeness to the nearest training image of the asked class over that of test images.
        accepted: share judged to be the asked class with confidence.
        train_on_synthetic: accuracy on test images of a small classifier that learned these images alone.
        train_on_real: the same from as many training images.
        per_class: class accuracy of each class asked for.
        network: digest of the feature network; distances compare only within it.
        seed: of resamples and choices of rows.
    """

    kid: Estimate
    frechet: Estimate
    frechet_floor: Estimate
    frechet_ratio: Estimate
    frechet_floor_asked: Estimate | None
    frechet_ratio_asked: Estimate | None
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    class_accuracy: Estimate | None
    class_entropy: Estimate
    class_jsd: Estimate
    nn_ratio: Estimate
    ndb: Estimate
    sliced_wasserstein: Estimate
    sliced_wasserstein_floor: Estimate
    authenticity: Estimate
    structural_coherence: Estimate | None
    accepted: Estimate | None
    train_on_synthetic: Estimate | None
    train_on_real: Estimate | None
    per_class: tuple[Estimate, ...] = ()
    network: str
    seed: int

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """All estimates over all classes, in reading order."""
        fields = (getattr(self, name) for name in attrs.fields_dict(Evaluation))
        return tuple(value for value in fields if isinstance(value, Estimate))

    def table(self) -> str:
        """Markdown, one metric a row: value, interval, N, and how the interval was made."""
        lines = [
            f"| metric | value | {self.kid.level:.0%} interval | N | v | interval by |",
            "|---|---|---|---|---|---|",
        ]
        for e in (*self.estimates, *self.per_class):
            against = str(e.n_reference) if e.n_reference else "-"
            ends = f"{number(e.low)} .. {number(e.high)}"
            lines.append(f"| {e.name} | {number(e.value)} | {ends} | {e.n} | {against} | {e.method} |")
        return "\n".join([*lines, "", f"Feature network {self.network}, seed {self.seed}.", ""])

    def to_json(self) -> dict[str, object]:
        """A plain dict; reals are shortest round-trip strings, so that a ledger entry can hold it."""
        return {
            "format": FORMAT,
            "network": self.network,
            "seed": self.seed,
            "metrics": {e.name: e.to_json() for e in self.estimates},
            "per_class": [e.to_json() for e in self.per_class],
        }


def evaluate_against(
    images: ArrayLike,
    asked: ArrayLike | None,
    reference: Reference,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    allow_small: bool = False,
) -> Evaluation:
    """All metrics of one arm against a prepared reference.

    Args:
        images: generated (n, h, w, c) in [0, 1]; n as the reference was prepared for.
        asked: class that each image was asked to be, or None for an unconditional generator.
        reference: from `prepare_reference`.
        resamples: of the bootstraps.
        level: of the intervals.
        allow_small: go on below 1,000 images.

    Raises:
        DataError: bad arrays, fewer than 1,000 images, or another number than the floor was made for.
    """
    array = checked_images(images, "generated images")
    n, network, seed = len(array), reference.network, reference.seed
    check_n(n, allow_small)
    if n != reference.n:
        raise DataError(
            f"{n} generated images against a floor of {reference.n}: the Frechet distance depends on N",
            hint="prepare a reference with the same n",
        )
    wanted = None
    if asked is not None:
        wanted = checked_labels(asked, n, "asked classes", n_classes=network.n_classes)
    features, logits = network.features_and_logits(array)
    found, rows, real = logits.argmax(axis=1), flat(array), reference.test_features
    value, draws = distance_and_draws(
        features, real, strata=wanted, seed=seed, resamples=resamples, allow_small=allow_small
    )

    def floor_of(values: NDArray[np.float64], name: str) -> Estimate:
        return floor_estimate(values, n=n, n_reference=len(real), name=name, level=level)

    def coherence(classes: NDArray[np.int64]) -> Estimate:
        likeness = likeness_to_class(array, classes, reference.train, reference.train_labels)
        return structural_coherence(likeness, reference.test_likeness, seed=seed, resamples=resamples, level=level)

    def ratio(floor: NDArray[np.float64], name: str) -> Estimate:
        return frechet_ratio(value, draws, floor, n=n, n_reference=len(real), seed=seed, name=name, level=level)

    own = None if wanted is None else reference.floor_of_classes(wanted)
    same = generator(seed, "prdc_rows").permutation(len(real))[: min(n, len(real))]
    four = prdc(features, real[same], k=K, seed=seed, resamples=resamples, level=level)
    classes = network.n_classes
    target = reference.train_labels if wanted is None else wanted
    distances, nearest = nearest_training(array, reference.train)
    return Evaluation(
        kid=kid(features, real, seed=seed, level=level),
        frechet=distance_estimate(value, draws, n=n, n_reference=len(real), by_class=wanted is not None, level=level),
        frechet_floor=floor_of(reference.floor, "frechet_floor"),
        frechet_ratio=ratio(reference.floor, "frechet_ratio"),
        frechet_floor_asked=None if own is None else floor_of(own, "frechet_floor_asked"),
        frechet_ratio_asked=None if own is None else ratio(own, "frechet_ratio_asked"),
        precision=four.precision,
        recall=four.recall,
        density=four.density,
        coverage=four.coverage,
        class_accuracy=None if wanted is None else class_accuracy(found, wanted, level=level),
        class_entropy=class_entropy(found, n_classes=classes, seed=seed, resamples=resamples, level=level),
        class_jsd=class_jsd(found, target, n_classes=classes, seed=seed, resamples=resamples, level=level),
        nn_ratio=ratio_of_distances(distances, reference.test_distances, seed=seed, resamples=resamples, level=level),
        ndb=ndb(features, reference.bins, seed=seed, resamples=resamples, level=level),
        sliced_wasserstein=sliced_wasserstein(rows, reference.slices, seed=seed, level=level),
        sliced_wasserstein_floor=floor_of(reference.sliced_floor, "sliced_wasserstein_floor"),
        authenticity=authenticity_of(distances, nearest, reference.train, level=level),
        structural_coherence=None if wanted is None else coherence(wanted),
        accepted=None if wanted is None else accepted(logits, wanted, level=level),
        train_on_synthetic=None
        if wanted is None
        else train_and_test(rows, wanted, reference.exam, seed=seed, level=level),
        train_on_real=None if wanted is None else reference.train_on_real,
        per_class=() if wanted is None else class_accuracies(found, wanted, n_classes=classes, level=level),
        network=network.digest,
        seed=seed,
    )


def evaluate(
    images: ArrayLike,
    asked: ArrayLike | None,
    *,
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    network: FeatureNetwork,
    seed: int = 0,
    allow_small: bool = False,
) -> Evaluation:
    """All metrics of one set of generated images; for several arms prepare the reference once.

    Args:
        images: generated (n, h, w, c) in [0, 1], 1,000 or more (2,000 is usual).
        asked: class each was asked to be, or None.
        train: images the generator was trained on.
        train_labels: their classes.
        test: held-out real images.
        test_labels: their classes.
        network: frozen feature network, trained apart from any generator.
        seed: of all resamples; the same seed gives the same intervals.
        allow_small: go on below 1,000 images, for tests of the machinery.

    Raises:
        DataError: as `prepare_reference` and `evaluate_against`.
    """
    array = checked_images(images, "generated images")
    check_n(len(array), allow_small)
    if asked is not None:
        checked_labels(asked, len(array), "asked classes", n_classes=network.n_classes)
    reference = prepare_reference(
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        network=network,
        n=len(array),
        seed=seed,
        allow_small=allow_small,
    )
    return evaluate_against(array, asked, reference, allow_small=allow_small)


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """Markdown with one metric a row and one arm a column, each cell ``value [low, high]``.

    Raises:
        DataError: no arms, or arms judged by different feature networks, whose distances do not compare.
    """
    if not evaluations:
        raise DataError("no evaluations to put side by side")
    arms = list(evaluations.values())
    networks = sorted({arm.network for arm in arms})
    if len(networks) > 1:
        raise DataError(f"arms judged by different feature networks do not compare: {', '.join(networks)}")
    columns: list[dict[str, Estimate]] = [{e.name: e for e in (*arm.estimates, *arm.per_class)} for arm in arms]
    names = list(dict.fromkeys(name for column in columns for name in column))
    # A metric that only some arms have keeps its place in the reading order.
    order = {name: i for i, name in enumerate(attrs.fields_dict(Evaluation))}
    names.sort(key=lambda name: (order.get(name, len(order)), name))
    lines = ["| metric | " + " | ".join(evaluations) + " |", "|---" * (len(arms) + 1) + "|"]
    for name in names:
        cells = [_cell(column.get(name)) for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    sizes = [f"{arm.kid.n} v {arm.kid.n_reference}" for arm in arms]
    lines.append("| N v test images | " + " | ".join(sizes) + " |")
    level = arms[0].kid.level
    return "\n".join([*lines, "", f"{level:.0%} intervals. Feature network {networks[0]}.", ""])


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"
