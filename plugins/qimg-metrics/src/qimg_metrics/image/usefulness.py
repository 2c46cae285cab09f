"""Can one learn from the images? Train on synthetic, test on real, beside train on real (imports numpy, scipy).

Esteban, Hyland and Raetsch, arXiv:1706.02633 (TSTR); Ravuri and Vinyals, NeurIPS 2019. The classifier is kernel ridge
regression on pixels with a Gaussian kernel (Suykens and Vandewalle, Neural Processing Letters 9, 1999):

    scores(x) = k(x, X) (k(X, X) + ridge)^-1 Y,  k(x, y) = exp(-gamma |x - y|^2),  Y one-hot

Its optimum is unique and found in closed form, so that no luck of a training enters: a difference of two figures is one
of the images. `gamma` comes from real images and is the same for every arm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from scipy.linalg import solve

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, Estimate, clopper_pearson, generator
from qimg_metrics.image.arrays import checked_features, checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RIDGE = 1e-2
MOST = 2000
"""More rows than this are not learned: the kernel matrix grows with their square."""
_SCALE = 2.0


@attrs.frozen(eq=False)
class Exam:
    """The real images on which every classifier is tested, and the width of its kernel.

    Args:
        rows: flattened real pixels (m, d).
        labels: their classes (m,).
        gamma: 2 over the median squared distance of two real training images.
        n_classes: how many.
    """

    rows: NDArray[np.float64]
    labels: NDArray[np.int64]
    gamma: float
    n_classes: int


def make_exam(rows: ArrayLike, labels: ArrayLike, train_rows: ArrayLike, *, n_classes: int, seed: int = 0) -> Exam:
    """Test rows (m, d) with labels (m,); `train_rows` (t, d) are real and give the width of the kernel.

    Raises:
        DataError: bad arrays, or training rows that are all alike.
    """
    test, train = checked_features(rows, "test rows"), checked_features(train_rows, "training rows")
    wanted = checked_labels(labels, len(test), "test labels", n_classes=n_classes)
    pairs = generator(seed, "usefulness_width").integers(0, len(train), (2, 2000))
    gap = train[pairs[0]] - train[pairs[1]]
    median = float(np.median((gap * gap).sum(axis=1)))
    if not median > 0:
        raise DataError("the real training images are all alike: nothing to learn from them")
    return Exam(test, wanted, _SCALE / median, n_classes)


def train_and_test(
    rows: ArrayLike,
    labels: ArrayLike,
    exam: Exam,
    *,
    name: str = "train_on_synthetic",
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """Accuracy on the real test images of a classifier that learned these images alone.

    Args:
        rows: flattened pixels (n, d); of more than 2,000, as many are drawn.
        labels: the classes that the images were asked to be, or are (n,).
        exam: from `make_exam`.
        name: of the estimate: ``train_on_synthetic``, or ``train_on_real`` for the figure beside it.
        seed: of the draw.
        level: of the Clopper-Pearson interval over the test images. It does not know of other training images.

    Raises:
        DataError: bad arrays, or another width.
    """
    x = checked_features(rows, "training rows")
    y = checked_labels(labels, len(x), n_classes=exam.n_classes)
    if x.shape[1] != exam.rows.shape[1]:
        raise DataError(f"wanted rows of width {exam.rows.shape[1]}, got {x.shape[1]}")
    if len(x) > MOST:
        some = np.sort(generator(seed, "usefulness").choice(len(x), MOST, replace=False))
        x, y = x[some], y[some]
    kernel = _kernel(x, x, exam.gamma)
    kernel[np.diag_indices(len(x))] += RIDGE
    # assume_a: without ridge, copies among the images would leave the matrix singular.
    dual = solve(kernel, np.eye(exam.n_classes)[y], assume_a="pos")
    found = np.concatenate(
        [
            (_kernel(exam.rows[at : at + MOST], x, exam.gamma) @ dual).argmax(axis=1)
            for at in range(0, len(exam.rows), MOST)
        ]
    )
    right, m = int((found == exam.labels).sum()), len(exam.labels)
    low, high = clopper_pearson(right, m, level)
    return Estimate(
        name=name,
        value=right / m,
        low=low,
        high=high,
        level=level,
        n=len(x),
        n_reference=m,
        method="Clopper-Pearson over the test images",
        note="accuracy on real test images of a kernel classifier trained on these alone",
    )


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * x @ y.T
    kernel: NDArray[np.float64] = np.exp(-gamma * np.maximum(squared, 0.0))
    return kernel
