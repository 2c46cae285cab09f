"""Planted faults on MNIST 28x28 at N = 2,000: what the page says each metric sees there, and what it does not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from qimg_core.datasets import ImageSource, open_images
from qimg_metrics.features import shipped_network
from qimg_metrics.image.kid import kid
from qimg_metrics.image.planted import CLAIMS, judge_planted, must_see, planted_sets, planted_table, seen, wide


def mnist() -> tuple[ImageSource, ImageSource]:
    home = Path(os.environ.get("QIMG_DATA") or "/nowhere") / "mnist"
    if not home.is_dir():
        pytest.skip("no mnist in QIMG_DATA")
    return open_images(str(home), split="train"), open_images(str(home), split="test")


@pytest.mark.slow
@pytest.mark.parametrize("blur", [3, 11])
def test_kid_sees_a_blur_that_is_wide_and_not_one_that_is_not(blur: int) -> None:
    """Widths 3 and 11 of 28 pixels: the condition comes from the band of reading, not from this outcome."""
    train, test = mnist()
    network = shipped_network("mnist-28")
    real, labels = train.images(range(2000)), np.zeros(2000, dtype=np.int64)
    sets = planted_sets(real, labels, train.images(range(2000, 4000)), labels, blur=blur)
    features = network.features(test.all())
    good, bad = (kid(network.features(sets[name][0]), features) for name in ("real", "blur"))
    assert (bad.low > good.high) == wide(28, blur)


@pytest.mark.slow
def test_what_each_metric_sees_at_mnist_size_is_what_the_page_says() -> None:
    train, test = mnist()
    assert train.labels is not None and test.labels is not None
    data = (train.all(), train.labels, test.all(), test.labels, shipped_network("mnist-28"))
    judged = judge_planted(*data, n=2000)
    wrong = {(m, f) for m in CLAIMS for f in must_see(m, 28) if not seen(m, f, judged)}
    assert not wrong, planted_table(judged)
    assert not seen("kid", "blur", judged) and judged["blur"].nn_ratio.high < 1  # as the page tells
    assert judged["mean image"].precision.value == 0
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "metrics.md").read_text("utf-8")
    table = planted_table(judged).splitlines()
    kid = next(line for line in table if line.startswith("| kid |"))
    assert kid.rsplit(" ", 3)[0][:30] in page  # real images' value, as the page has it
