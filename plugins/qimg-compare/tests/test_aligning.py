"""`qimg align`: choice and judgement on different images, the jackknife by hand, planted truths, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qimg_circuits.quantum_kernels import alignment, target_kernel
from qimg_circuits.quantum_kernels_named import Kernel
from qimg_compare.aligning import GROUPS, align, halves, jackknife
from qimg_core.cli.app import main
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.session import Session

KERNELS = tuple(
    Kernel(kind=kind, wires=2, scale=s, entangled=e)
    for kind, e in (("fidelity", True), ("projected", False), ("gaussian", False))
    for s in (0.4, 1.2)
)


def planted(seed: int, n: int, product: bool) -> tuple[Any, Any]:
    """Two numbers; the label is the sign of their product, or of the first."""
    x = np.random.default_rng(seed).normal(size=(n, 2))
    return x, (x[:, 0] * (x[:, 1] if product else 1) > 0).astype(np.int64)


def test_the_mean_s_jackknife_is_the_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=40)
    without = [np.delete(x, i).mean() for i in range(40)]
    found = jackknife(x.mean(), without)
    assert found.high - found.value == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(40))
    assert found.value == pytest.approx((found.low + found.high) / 2)


def test_the_best_of_each_sort_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    session, a, b = Session(None, seed=1), planted(1, 60, False), planted(2, 60, False)
    found = align(session, a, b, KERNELS)
    tried = {k: float(alignment(k.matrix(session, a[0]), target_kernel(a[1]))) for k in KERNELS}
    assert dict(found.choosing) == pytest.approx(tried)
    assert found.quantum == max((k for k in KERNELS if k.quantum), key=lambda k: tried[k])
    assert found.classical == max((k for k in KERNELS if not k.quantum), key=lambda k: tried[k])
    wanted = [float(alignment(k.matrix(session, b[0]), target_kernel(b[1]))) for k in (found.quantum, found.classical)]
    assert (found.of_quantum.value, found.of_classical.value) == pytest.approx(wanted)
    assert found.difference.value == pytest.approx(wanted[0] - wanted[1])


def test_a_label_that_is_a_product_is_told_from_one_that_is_not() -> None:
    """The phase of neighbours is that product: there the entangled kernel is better; not where one number decides."""
    kernels = [Kernel(kind="fidelity", wires=2, scale=1.2), *(k for k in KERNELS if not k.quantum)]
    session = Session(None, seed=1)
    better = align(session, planted(1, 200, True), planted(2, 200, True), kernels)
    assert better.verdict == "quantum kernel better aligned" and better.difference.low > 0.02
    fair = [*kernels, Kernel(kind="gaussian", wires=2, scale=1.2)]  # the classical twin takes that product, too
    twin = align(session, planted(1, 200, True), planted(2, 200, True), fair)
    assert twin.classical == fair[-1] and abs(twin.difference.value) < 0.5 * better.difference.value
    other = align(session, planted(1, 200, False), planted(2, 200, False), kernels)
    assert other.verdict == "classical kernel better aligned"


def test_one_kernel_against_itself_is_not_told_apart() -> None:
    pair = [
        Kernel(kind="projected", wires=2, scale=0.02, entangled=False),
        Kernel(kind="gaussian", wires=2, scale=0.02, entangled=False),
    ]
    found = align(Session(None, seed=1), planted(1, 60, False), planted(2, 60, False), pair)
    assert abs(found.difference.value) < 1e-3


def test_halves_share_no_image_and_the_second_is_new_to_the_components() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)), np.arange(80) % 3
    (a, la), (b, lb) = halves(x, y, n=30, wires=4, seed=5)
    assert a.shape == b.shape == (30, 4) and len(la) == len(lb) == 30
    np.testing.assert_allclose(a.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(a.std(0), 1, atol=1e-12)
    assert np.abs(b.mean(0)).max() > 0.01
    again, _ = halves(x, y, n=30, wires=4, seed=5)
    np.testing.assert_array_equal(again[0], a)
    gaps = np.abs(a[:, None] - b[None]).max(2)
    assert gaps.min() > 1e-9


def test_bad_input() -> None:
    with pytest.raises(DataError, match="labelled images"):
        halves(np.zeros((50, 6)), np.zeros(50), n=30, wires=4, seed=1)
    with pytest.raises(ConfigurationError, match=f"{GROUPS} or more"):
        halves(np.zeros((50, 6)), np.zeros(50), n=5, wires=4, seed=1)
    with pytest.raises(ConfigurationError, match="a Gaussian one"):
        align(Session(None, seed=1), planted(1, 40, True), planted(2, 40, True), KERNELS[:2])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["align", "digits", "--wires", "3", "--n", "30", "--seed", "3", "--ledger", str(tmp_path / "runs"), "--json"]
    code = main([*base, "--scales", "0.5,1"])
    found = json.loads(capsys.readouterr().out)
    assert code == (3 if found["verdict"] == "not told apart" else 0)
    assert len(found["choosing"]) == 12 and found["n"] == 30 and found["entry"] > 0
    assert found["quantum"]["kernel"]["kind"] in ("fidelity", "projected")
    assert main([*base, "--scales", "a"]) == 2
    assert main([*base, "--shots", "10", "--max-shots", "50"]) == 4
