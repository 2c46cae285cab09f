"""scikit-learn's 8x8 digits: 1,797 real images that need no download (floor 4; imports numpy, errors, source).

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998 (its test set, as scikit-learn ships it). Values 0..16 become 0..1.
"""

from __future__ import annotations

import importlib

import numpy as np

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError


def open_digits(*, split: str = "train") -> ArraySource:
    """The digits; there is no official split, so every fifth image (index 4, 9, ...) is ``test``.

    Raises:
        ConfigurationError: scikit-learn is not installed.
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ConfigurationError(
            "the digits dataset comes with scikit-learn, which is not installed", hint="pip install scikit-learn"
        ) from error
    data = datasets.load_digits()
    chosen = (np.arange(len(data.images)) % 5 == 4) == (split == "test")
    return ArraySource(
        name=f"digits/{split}",
        pixels=(data.images[chosen] / 16).astype(np.float32),
        labels=data.target[chosen],
        provenance={"format": "scikit-learn", "dataset": "digits", "split": split, "rule": "index % 5 == 4 is test"},
    )
