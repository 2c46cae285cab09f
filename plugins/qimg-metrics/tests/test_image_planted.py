"""Planted faults on real, small digits: every metric ranks behind real images what it claims to see."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from qimg_core.cli.app import cli
from qimg_core.datasets import open_images
from qimg_core.errors import DataError
from qimg_metrics.evaluation import Evaluation
from qimg_metrics.features import shipped_names, train_feature_network
from qimg_metrics.image.memorisation import nn_ratio
from qimg_metrics.image.planted import (
    CLAIMS,
    FAULTS,
    claimed,
    judge_planted,
    must_see,
    planted_sets,
    planted_table,
    seen,
    wide,
)

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "metrics.md"


@pytest.fixture(scope="module")
def judged() -> dict[str, Evaluation]:
    """The digits that come with scikit-learn, 8x8: 1,438 to train, 359 to test."""
    train, test = (open_images("digits", split=split) for split in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    network = train_feature_network(train.all(), train.labels, seed=0, epochs=12)
    data = (train.all(), train.labels, test.all(), test.labels, network)
    return judge_planted(*data, n=300, resamples=60, allow_small=True)


@pytest.mark.parametrize(("metric", "fault"), [(m, f) for m in CLAIMS for f in must_see(m, 8)])
def test_what_a_metric_claims_to_see_it_ranks_behind_real_images(
    metric: str, fault: str, judged: dict[str, Evaluation]
) -> None:
    assert seen(metric, fault, judged), planted_table(judged)


def test_the_blind_spots_that_the_page_tells_of_are_there(judged: dict[str, Evaluation]) -> None:
    assert not seen("kid", "copies", judged) and not seen("coverage", "copies", judged)
    assert not seen("kid", "labels mixed up", judged)
    assert not seen("class_entropy", "copies", judged)
    assert judged["mean image"].precision.value >= judged["real"].precision.value - 0.05  # fooled, as its page says


def test_every_fault_is_seen_by_some_metric_and_every_metric_of_the_table_is_there(
    judged: dict[str, Evaluation],
) -> None:
    assert {f for _, claims in CLAIMS.values() for f in claims} == set(FAULTS)
    names = {e.name for e in judged["real"].estimates}
    assert set(CLAIMS) <= names
    text = planted_table(judged)
    page = PAGE.read_text("utf-8")
    head = next(line for line in text.splitlines() if line.startswith("| metric |"))
    assert head in page  # the page shows the table that this program makes
    for metric in CLAIMS:
        assert page.count(f"| {metric} | {claimed(metric)} |") == 2  # at 8 and at 28 pixels


def test_the_sets_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    train, labels = rng.random((60, 4, 4, 1)), np.arange(60) % 3
    images, asked = rng.random((30, 4, 4, 1)), np.arange(30) % 3
    sets = planted_sets(images, asked, train, labels, seed=2)
    assert list(sets) == ["real", *FAULTS]
    assert all(x.shape == images.shape and len(y) == 30 for x, y in sets.values())
    pool = {x.tobytes(): label for x, label in zip(train, labels, strict=True)}
    copies, copied = sets["copies"]
    assert [pool[x.tobytes()] for x in copies] == copied.tolist()
    own = {x.tobytes() for x in images[asked == 0]}
    assert {x.tobytes() for x in sets["one class"][0]} <= own
    assert sorted(sets["labels mixed up"][1]) == sorted(asked) and (sets["labels mixed up"][1] != asked).any()
    np.testing.assert_allclose(sets["mean image"][0][7], train.mean(axis=0))
    inner = images[:, 0:3, 0:3].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(sets["blur"][0][:, 1, 1, 0], inner)
    with pytest.raises(DataError, match="to copy"):
        planted_sets(images, asked, train[:20], labels[:20])


def test_a_blur_is_wide_by_the_image() -> None:
    assert [wide(8), wide(9), wide(10), wide(28), wide(28, 9), wide(28, 11)] == [True, True, False, False, False, True]
    assert "blur" in must_see("kid", 8) and "blur" not in must_see("kid", 28) and "blur" in must_see("kid", 28, 11)
    assert not any("blur" in must_see("nn_ratio", side, width) for side in (8, 28) for width in (3, 11))
    # A mean over w pixels ends the frequency side / w cycles for each image.
    side, width = 27, 9
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (side / width) * np.arange(side) / side)
    images = np.broadcast_to(wave[None, None, :, None], (4, side, side, 1))
    found = planted_sets(images, np.zeros(4, int), images, np.zeros(4, int), blur=width)["blur"][0]
    np.testing.assert_allclose(found[:, :, 4:-4], 0.5, atol=1e-12)
    with pytest.raises(DataError, match="3, 5, 7"):
        planted_sets(images, np.zeros(4, int), images, np.zeros(4, int), blur=4)


@pytest.mark.parametrize(("stripes", "wanted"), [(0.0, np.sqrt((1 + 1 / 9) / 2)), (0.3, None)])
def test_a_blur_brings_images_nearer_or_farther_by_what_they_share(stripes: float, wanted: float | None) -> None:
    """Detail of variance v of each image's own: distance 2 v a pixel; blurred (1 + 1/9) v, plus what both shared."""
    rng, side, sd = np.random.default_rng(3), 40, 0.05
    shared = 0.5 + stripes * np.cos(np.pi * np.arange(side))[None, None, :, None]
    train, real = (np.clip(shared + sd * rng.standard_normal((n, side, side, 1)), 0, 1) for n in (60, 40))
    sets = planted_sets(real, np.zeros(40, int), train, np.zeros(60, int))
    ratio = nn_ratio(sets["blur"][0], train, real)
    if wanted is None:
        assert ratio.low > 1.1  # stripes of two pixels, gone after the blur: farther than any real image
    else:
        assert ratio.high < 0.9 and ratio.value == pytest.approx(wanted, abs=0.03)


def test_the_command_refuses_a_network_for_other_images() -> None:
    done = CliRunner().invoke(cli, ["metrics", "planted", "--data", "digits"])
    assert isinstance(done.exception, DataError)
    assert "takes (28, 28, 1)" in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_planted_faults_at_full_size(name: str) -> None:
    folder = os.environ.get("QIMG_DATA")
    if not folder:
        pytest.skip("QIMG_DATA is not set: no images to plant faults in")
    network = name.removesuffix("-mnist") + "-28"
    if network not in shipped_names():
        pytest.skip(f"no feature network {network} ships")
    words = ["metrics", "planted", "--data", str(Path(folder) / name), "--network", network, "--json"]
    done = CliRunner().invoke(cli, words)
    assert json.loads(done.stdout)["missed"] == {}
    assert done.exit_code == 0
