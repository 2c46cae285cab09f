"""Agreement against published examples and scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.errors import DataError
from qimg_data import plugin
from qimg_data.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

N = None
# K. Krippendorff, "Content Analysis" (1980): 4 annotators, 12 units; the data of R's irr::kripp.alpha.
CODED = [
    [1, 1, N, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [N, 5, 5, 5], [N, N, 1, 1], [N, N, 3, N],
]  # fmt: skip
# J. L. Fleiss, Psychol. Bull. 76 (1971) 378, in the form that is reproduced most: 14 annotators, 10 units, 5 classes.
FLEISS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_alpha_is_the_published_one(level, alpha):
    assert krippendorff_alpha(CODED, level) == pytest.approx(alpha, abs=5e-4)


def test_fleiss_kappa_is_the_published_one():
    units = [[c for c, k in enumerate(row) for _ in range(k)] for row in FLEISS]
    assert fleiss_kappa(units) == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_is_the_published_one():
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}  # p_o 0.7, p_e 0.5
    pairs = [pair for pair, k in table.items() for _ in range(k)]
    assert cohen_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.4)


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(labels)
def test_cohens_kappa_is_scikit_learns(pairs):
    one, other = zip(*pairs, strict=True)
    if len(set(one) | set(other)) == 1:
        with pytest.raises(DataError):
            cohen_kappa(one, other)
    else:
        assert cohen_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(labels)
def test_alpha_of_two_annotators_is_fleiss_kappa_but_for_the_small_sample_correction(pairs):
    if len({v for p in pairs for v in p}) == 1:
        return
    n = 2 * len(pairs)
    assert 1 - krippendorff_alpha(pairs) == pytest.approx((1 - fleiss_kappa(pairs)) * (n - 1) / n, abs=1e-12)


def test_what_is_not_defined_is_refused():
    for units in ([], [[1, N]], [[1, 1], [1, 1]]):
        with pytest.raises(DataError):
            krippendorff_alpha(units)
    for units in ([[1], [2]], [[1, 2], [1, 2, 3]], [[1, 1]]):
        with pytest.raises(DataError):
            fleiss_kappa(units)
    with pytest.raises(DataError):
        krippendorff_alpha([[-1, 2]], "ratio")
    with pytest.raises(DataError):
        cohen_kappa([1], [1, 2])


def test_the_command_prints_what_can_be_computed(tmp_path, capsys):
    registry = Registry(discover=False)
    registry.register(plugin, "data")
    path = tmp_path / "labels.csv"
    rows = [",".join("" if v is N else str(v) for v in unit) for unit in CODED]
    path.write_text("\n".join(["a,b,c,d", *rows]) + "\n")
    assert main(["manifest", "agreement", str(path), "--level", "interval", "--json"], registry=registry) == 0
    found = json.loads(capsys.readouterr().out)
    assert float(found["krippendorff_alpha"]) == pytest.approx(0.849, abs=5e-4)
    assert found["fleiss_kappa"] is None and found["cohen_kappa"] is None
    rng = np.random.default_rng(0)
    path.write_text("a,b\n" + "\n".join(f"{x},{y}" for x, y in rng.integers(0, 3, (30, 2))) + "\n")
    assert main(["manifest", "agreement", str(path), "--json"], registry=registry) == 0
    assert None not in json.loads(capsys.readouterr().out).values()
    path.write_text("a,b\nx\n")
    assert main(["manifest", "agreement", str(path)], registry=registry) == 2
