"""What an evaluation needs of the real images, found once and used for every arm (numpy, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import Estimate, generator
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.floor import floor_draws, floor_draws_of_classes
from qimg_metrics.image.frechet import SMALLEST
from qimg_metrics.image.memorisation import nearest_training
from qimg_metrics.image.ndb import BINS, Bins, make_bins
from qimg_metrics.image.sliced import Slices, make_slices, sliced_distance
from qimg_metrics.image.structure import likeness_to_class
from qimg_metrics.image.usefulness import Exam, make_exam, train_and_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from qimg_metrics.features import FeatureNetwork

FLOOR_DRAWS = 10


@attrs.frozen(kw_only=True, eq=False)
class Reference:
    """What depends on the real images only: found once, then used for every arm (see `prepare_reference`).

    Args:
        network: that judges.
        train, train_labels, train_features: the generator's training images.
        test_features: of all held-out images.
        test_distances: of some held-out images from their nearest training images.
        test_likeness: SSIM of the same held-out images to the nearest training image of their class.
        floor: Frechet distances of draws of training images.
        bins: of the held-out features, for `ndb`.
        slices: of the held-out pixels, for `sliced_wasserstein`.
        sliced_floor: sliced Wasserstein distances of draws of training images.
        exam: held-out images to test a classifier on.
        train_on_real: what it learns from as many training images.
        n: images of an arm.
        seed: of every choice.
    """

    network: FeatureNetwork
    train: NDArray[np.floating]
    train_labels: NDArray[np.int64]
    train_features: NDArray[np.float64]
    test_features: NDArray[np.float64]
    test_distances: NDArray[np.float64]
    test_likeness: NDArray[np.float64]
    floor: NDArray[np.float64]
    bins: Bins
    slices: Slices
    sliced_floor: NDArray[np.float64]
    exam: Exam
    train_on_real: Estimate
    n: int
    seed: int

    def floor_of_classes(self, asked: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Floor draws with the class shares of `asked`, or None where a class has too few images for two draws."""
        counts = np.bincount(asked, minlength=self.network.n_classes)
        have = np.bincount(self.train_labels, minlength=len(counts))
        if (have < 2 * counts).any():  # no two disjoint draws
            return None
        return floor_draws_of_classes(
            self.train_features,
            self.train_labels,
            self.test_features,
            counts=counts,
            draws=FLOOR_DRAWS,
            seed=self.seed,
            allow_small=min(self.n, len(self.test_features)) < SMALLEST,  # was allowed when this was prepared
        )


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
    """Features of the real images, the floors at `n`, and what held-out images get in the metrics that compare with it.

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
    classes = network.n_classes
    labels = checked_labels(train_labels, len(pool), "training labels", n_classes=classes)
    held_labels = checked_labels(test_labels, len(held), "test labels", n_classes=classes)
    check_n(min(n, len(held)), allow_small)
    draws = min(FLOOR_DRAWS, len(pool) // max(n, 1))
    if draws < 2:
        raise DataError(f"the floor needs two disjoint draws of {n} training images or more, got {len(pool)} images")
    test_features, found = network.features_and_classes(held)
    accuracy = float((found == held_labels).mean())
    if accuracy < 0.8:
        raise DataError(
            f"the feature network classifies only {accuracy:.1%} of the test images: it was made for other data",
            hint="train one for this data with: qimg metrics train-network DATA --out FILE.safetensors",
        )
    features = network.features(pool)
    some = np.sort(generator(seed, "held_out").permutation(len(held))[: min(n, len(held))])
    slices = make_slices(flat(held), seed=seed)
    picked = generator(seed, "sliced_floor").permutation(len(pool))[: n * draws].reshape(draws, n)
    exam = make_exam(flat(held), held_labels, flat(pool[picked[0]]), n_classes=classes, seed=seed)
    return Reference(
        network=network,
        train=pool,
        train_labels=labels,
        train_features=features,
        test_features=test_features,
        test_distances=nearest_training(held[some], pool)[0],
        test_likeness=likeness_to_class(held[some], held_labels[some], pool, labels),
        floor=floor_draws(features, test_features, n=n, draws=draws, seed=seed, allow_small=allow_small),
        bins=make_bins(test_features, k=max(2, min(BINS, len(held) // 20)), seed=seed),
        slices=slices,
        sliced_floor=np.array([sliced_distance(flat(pool[rows]), slices) for rows in picked]),
        exam=exam,
        train_on_real=train_and_test(flat(pool[picked[0]]), labels[picked[0]], exam, name="train_on_real", seed=seed),
        n=n,
        seed=seed,
    )


def flat(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Images (n, h, w, c) as rows of pixels (n, h * w * c) in double precision."""
    return images.reshape(len(images), -1).astype(np.float64)


def check_n(n: int, allow_small: bool) -> None:
    """Raise DataError for fewer images than a Frechet distance makes sense for."""
    if n < SMALLEST and not allow_small:
        raise DataError(
            f"{n} images are too few for an evaluation: wanted at least {SMALLEST}",
            hint="sample more (2,000 is usual); allow_small=True is for tests of the machinery",
        )
