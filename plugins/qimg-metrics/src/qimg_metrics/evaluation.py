"""All image metrics of one set of generated images, in one frozen value, and arms side by side (numpy, torch).

No number stands alone here: precision is fooled by a mean image, class entropy by noise, a Frechet distance by a small N.
An `Evaluation` therefore holds the whole vector, each with its interval and N, and the floor that real images reach.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, generator, number
from qimg_metrics.features import FeatureNetwork
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.classes import class_accuracies, class_accuracy, class_entropy, class_jsd
from qimg_metrics.image.frechet import (
    SMALLEST,
    floor_draws,
    floor_draws_of_classes,
    floor_estimate,
    frechet_distance,
    frechet_ratio,
)
from qimg_metrics.image.frechet import distance_and_draws as frechet_draws
from qimg_metrics.image.kid import kid
from qimg_metrics.image.memorisation import nearest_training, ratio_of_distances
from qimg_metrics.image.prdc import prdc

FORMAT = "qimg-evaluation/1"
K = 5
FLOOR_DRAWS = 10


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
    per_class: tuple[Estimate, ...] = ()
    network: str
    seed: int

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """All estimates over all classes, in reading order."""
        fields = (getattr(self, a.name) for a in attrs.fields(Evaluation))
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


@attrs.frozen(kw_only=True, eq=False)
class Reference:
    """What depends on the real images only: found once, then used for every arm (see `prepare_reference`)."""

    network: FeatureNetwork
    train: NDArray[np.floating]
    train_labels: NDArray[np.int64]
    train_features: NDArray[np.float64]
    test_features: NDArray[np.float64]
    test_distances: NDArray[np.float64]
    floor: NDArray[np.float64]
    n: int
    seed: int


def prepare_reference(
    *,
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    network: FeatureNetwork,
    n: int = 2000,
    seed: int = 0,
    allow_small: bool = False,
) -> Reference:
    """Features of the real images, the floor at `n`, and the nearest-training distances of held-out images.

    Args:
        train: images the generator was trained on (m, h, w, c) in [0, 1]; at least 2 * n of them, 10 * n for ten draws.
        train_labels: their classes (m,).
        test: held-out real images.
        test_labels: their classes; also a check that the network is one for this data.
        network: frozen feature network, trained apart from any generator.
        n: how many generated images an arm will have.
        seed: of the choices of rows.
        allow_small: go on below 1,000 images, for tests of the machinery.

    Raises:
        DataError: bad arrays, too few images, or a network that cannot tell the test classes apart (accuracy < 0.8).
    """
    pool, held = checked_images(train, "training images"), checked_images(test, "test images")
    labels = checked_labels(train_labels, len(pool), "training labels", n_classes=network.n_classes)
    held_labels = checked_labels(test_labels, len(held), "test labels", n_classes=network.n_classes)
    _check_n(min(n, len(held)), allow_small)
    draws = min(FLOOR_DRAWS, len(pool) // max(n, 1))
    if draws < 2:
        raise DataError(f"the floor needs two disjoint draws of {n} training images or more, got {len(pool)} images")
    test_features, found = network.features_and_classes(held)
    accuracy = float((found == held_labels).mean())
    if accuracy < 0.8:
        raise DataError(
            f"the feature network classifies only {accuracy:.1%} of the test images: it was made for other data",
            hint="train one for this data with: python -m qimg_metrics.image.train",
        )
    features = network.features(pool)
    floor = floor_draws(features, test_features, n=n, draws=draws, seed=seed)
    some = np.sort(generator(seed, "held_out").permutation(len(held))[: min(n, len(held))])
    distances, _ = nearest_training(held[some], pool)
    return Reference(
        network=network,
        train=pool,
        train_labels=labels,
        train_features=features,
        test_features=test_features,
        test_distances=distances,
        floor=floor,
        n=n,
        seed=seed,
    )


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
    _check_n(n, allow_small)
    if n != reference.n:
        raise DataError(
            f"{n} generated images against a floor of {reference.n}: the Frechet distance depends on N",
            hint="prepare a reference with the same n",
        )
    wanted = None
    if asked is not None:
        wanted = checked_labels(asked, n, "asked classes", n_classes=network.n_classes)
    features, found = network.features_and_classes(array)
    real = reference.test_features
    frechet = frechet_distance(features, real, seed=seed, resamples=resamples, level=level, allow_small=allow_small)
    _, draws = frechet_draws(features, real, seed=seed, resamples=resamples)

    def floor_of(values: NDArray[np.float64], name: str) -> Estimate:
        return floor_estimate(values, n=n, n_reference=len(real), name=name, level=level)

    def ratio(floor: NDArray[np.float64], name: str) -> Estimate:
        return frechet_ratio(frechet.value, draws, floor, n=n, n_reference=len(real), seed=seed, name=name, level=level)

    own = None if wanted is None else _floor_of_asked(reference, wanted)
    same = generator(seed, "prdc_rows").permutation(len(real))[: min(n, len(real))]
    four = prdc(features, real[same], k=K, seed=seed, resamples=resamples, level=level)
    classes = network.n_classes
    target = reference.train_labels if wanted is None else wanted
    return Evaluation(
        kid=kid(features, real, seed=seed, level=level),
        frechet=frechet,
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
        nn_ratio=ratio_of_distances(
            nearest_training(array, reference.train)[0],
            reference.test_distances,
            seed=seed,
            resamples=resamples,
            level=level,
        ),
        per_class=() if wanted is None else class_accuracies(found, wanted, n_classes=classes, level=level),
        network=network.digest,
        seed=seed,
    )


def _floor_of_asked(reference: Reference, wanted: NDArray[np.int64]) -> NDArray[np.float64] | None:
    counts = np.bincount(wanted, minlength=reference.network.n_classes)
    have = np.bincount(reference.train_labels, minlength=len(counts))
    if (have < 2 * counts).any():  # no two disjoint draws
        return None
    return floor_draws_of_classes(
        reference.train_features,
        reference.train_labels,
        reference.test_features,
        counts=counts,
        draws=FLOOR_DRAWS,
        seed=reference.seed,
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
    _check_n(len(array), allow_small)
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
    order = {a.name: i for i, a in enumerate(attrs.fields(Evaluation))}
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


def _check_n(n: int, allow_small: bool) -> None:
    if n < SMALLEST and not allow_small:
        raise DataError(
            f"{n} images are too few for an evaluation: wanted at least {SMALLEST}",
            hint="sample more (2,000 is usual); allow_small=True is for tests of the machinery",
        )
