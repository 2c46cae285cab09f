"""What an evaluation needs of the real images, found once and used for every arm (numpy, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import generator
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.floor import floor_draws, floor_draws_of_classes
from qimg_metrics.image.frechet import SMALLEST
from qimg_metrics.image.memorisation import nearest_training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from qimg_metrics.features import FeatureNetwork

FLOOR_DRAWS = 10


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
    check_n(min(n, len(held)), allow_small)
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


def check_n(n: int, allow_small: bool) -> None:
    """Raise DataError for fewer images than a Frechet distance makes sense for."""
    if n < SMALLEST and not allow_small:
        raise DataError(
            f"{n} images are too few for an evaluation: wanted at least {SMALLEST}",
            hint="sample more (2,000 is usual); allow_small=True is for tests of the machinery",
        )
