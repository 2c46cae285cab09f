"""Which metrics a comparison can use, and which way each is better: data, not code (imports errors)."""

from __future__ import annotations

from enum import StrEnum

from qimg_core.errors import UnknownName


class Better(StrEnum):
    """Which values of a metric are better."""

    SMALLER = "smaller"
    LARGER = "larger"
    NEAR_ONE = "near 1"


IMAGES = {
    "kid": Better.SMALLER,
    "frechet": Better.SMALLER,
    "frechet_ratio": Better.SMALLER,
    "frechet_ratio_asked": Better.SMALLER,
    "precision": Better.LARGER,
    "recall": Better.LARGER,
    "density": Better.LARGER,
    "coverage": Better.LARGER,
    "class_accuracy": Better.LARGER,
    "class_entropy": Better.LARGER,
    "class_jsd": Better.SMALLER,
    "nn_ratio": Better.NEAR_ONE,
    "ndb": Better.SMALLER,
    "sliced_wasserstein": Better.SMALLER,
    "authenticity": Better.LARGER,
    "structural_coherence": Better.LARGER,
    "accepted": Better.LARGER,
    "train_on_synthetic": Better.LARGER,
}
"""Metrics of `qimg_metrics.evaluation.Evaluation`, by name. nn_ratio below 1 is copying, above is
noise; a blur moves it either way."""

OPERATION = {
    "seconds_per_image": Better.SMALLER,
    "seconds_per_accepted_image": Better.SMALLER,
    "cost_per_accepted_image": Better.SMALLER,
}
"""What a run measures about itself. Which images are accepted, `qimg_metrics.image.acceptance` says."""

SCALES = {**IMAGES, **OPERATION}

SHARES = frozenset(
    {"precision", "recall", "coverage", "class_accuracy", "class_entropy", "ndb", "authenticity", "accepted"}
    | {"train_on_synthetic"}
)
"""Metrics that lie between 0 and 1, and their intervals with them."""


def scale_of(metric: str) -> Better:
    """Which values of a metric are better.

    Raises:
        UnknownName: no such metric; the nearest is offered.
    """
    if metric not in SCALES:
        raise UnknownName("metric", metric, SCALES)
    return SCALES[metric]
