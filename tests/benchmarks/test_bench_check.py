"""A right engine passes, a wrong one does not, whatever is wrong with it."""

import numpy as np
import pytest

from benchmarks.check import LIMIT, compare
from benchmarks.reference import solve
from benchmarks.task import Task
from benchmarks.workloads.base import turning_layer, upload

GATES = [*upload(3), *turning_layer(3, 0)]
TASK = Task(name="t", wires=3, rows=2, layers=1, gates=GATES)
WINDOWS = Task(name="h", wires=3, rows=2, layers=1, gates=GATES, reading="windows", windows=[(2, 0), (1, 2)])
SHOTS = Task(name="s", wires=3, rows=4, layers=1, gates=GATES, reading="counts", shots=4000)


def right(task):
    return solve(task, task.arrays())


def test_single_precision_passes():
    wanted = right(TASK)
    verdict = compare(TASK, wanted, {k: v.astype(np.float32) for k, v in wanted.items()})
    assert verdict.reason is None
    assert 0 < verdict.error < 1e-6


@pytest.mark.parametrize("name", ["values", "x", "w"])
def test_a_number_that_is_off_by_more_than_the_limit_does_not(name):
    wanted = right(TASK)
    step = LIMIT * np.abs(wanted[name]).max()
    for factor, passes in ((0.5, True), (2, False)):
        moved = wanted[name].copy()
        moved.flat[0] += factor * step
        assert (compare(TASK, wanted, {**wanted, name: moved}).reason is None) is passes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: {**a, "w": -a["w"]}, "w is off by 2.0e"),
        (lambda a: {**a, "x": a["x"] * np.nan}, "x is off by nan"),
        (lambda a: {**a, "x": a["x"][:, ::-1]}, "x is off"),
        (lambda a: {**a, "values": a["values"].T}, r"values: shape \(3, 2\), wanted \(2, 3\)"),
        (lambda a: {k: v for k, v in a.items() if k != "w"}, "no w"),
    ],
)
def test_what_is_wrong_is_said(change, says):
    import re

    wanted = right(TASK)
    assert re.match(says, compare(TASK, wanted, change(wanted)).reason)


def test_values_alone_are_enough_where_no_derivatives_are_asked():
    wanted = right(TASK)
    got = {"values": wanted["values"]}
    assert compare(TASK, wanted, got, values_only=True).reason is None
    assert compare(TASK, wanted, got).reason == "no x"


def test_derivatives_by_matrices_are_compared_in_their_hermitian_part():
    wanted = right(WINDOWS)
    lopsided = wanted["h"] + np.triu(np.ones((4, 4)), 1) - np.tril(np.ones((4, 4)), -1)
    assert compare(WINDOWS, wanted, {**wanted, "h": lopsided}).reason is None
    assert compare(WINDOWS, wanted, {**wanted, "h": wanted["h"].conj()}).reason is not None


def test_counts_drawn_from_the_distribution_pass():
    wanted = right(SHOTS)
    rng = np.random.default_rng(1)
    counts = np.stack([rng.multinomial(4000, p / p.sum()) for p in wanted["values"]])
    verdict = compare(SHOTS, wanted, {"counts": counts})
    assert verdict.reason is None
    assert verdict.error < 4


@pytest.mark.parametrize("wires", ["reversed", "rows"])
def test_counts_in_another_order_do_not(wires):
    wanted = right(SHOTS)
    rng = np.random.default_rng(1)
    counts = np.stack([rng.multinomial(4000, p / p.sum()) for p in wanted["values"]])
    if wires == "reversed":
        counts = counts.reshape(4, 2, 2, 2).transpose(0, 3, 2, 1).reshape(4, 8)
    else:
        counts = counts[::-1]
    assert "deviations" in compare(SHOTS, wanted, {"counts": counts}).reason


def test_a_shot_that_is_missing_is_noticed():
    wanted = right(SHOTS)
    counts = np.rint(wanted["values"] * 4000).astype(int)
    counts[0, 0] += 4000 - counts[0].sum() - 1
    assert compare(SHOTS, wanted, {"counts": counts}).reason is not None
