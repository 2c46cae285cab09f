"""Planted faults on MNIST 28x28 at N = 2,000: what the page says each metric sees there, and what it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qimg_core.datasets import open_images
from qimg_metrics.features import shipped_network
from qimg_metrics.image.planted import CLAIMS, judge_planted, planted_table, seen

MISSED = {("kid", "blur"), ("nn_ratio", "blur")}
"""Claims that do not hold on these data; docs/explanation/metrics.md says so."""


@pytest.mark.slow
def test_what_each_metric_sees_at_mnist_size_is_what_the_page_says() -> None:
    home = Path(os.environ.get("QIMG_DATA") or "/nowhere") / "mnist"
    if not home.is_dir():
        pytest.skip("no mnist in QIMG_DATA")
    train, test = (open_images(str(home), split=split) for split in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    data = (train.all(), train.labels, test.all(), test.labels, shipped_network("mnist-28"))
    judged = judge_planted(*data, n=2000)
    wrong = {(m, f) for m, (_, claims) in CLAIMS.items() for f in claims if not seen(m, f, judged)}
    assert wrong == MISSED, planted_table(judged)
    assert judged["mean image"].precision.value == 0
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "metrics.md").read_text("utf-8")
    table = planted_table(judged).splitlines()
    kid = next(line for line in table if line.startswith("| kid |"))
    assert kid.rsplit(" ", 3)[0][:30] in page  # real images' value, as the page has it
