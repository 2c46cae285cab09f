"""Pictures of states: the numbers behind them in closed form, and that a whole PNG is written or none."""

import sys

import numpy as np
import pytest
from PIL import Image

from qimg_circuits.library import sim_circuit
from qimg_core import CircuitBuilder
from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.circuit import bloch, pca_states, qsphere
from qimg_metrics.circuit.pictures import bloch_vectors, principal_components, qsphere_points


def test_a_single_wire_stays_on_the_surface_and_a_bell_pair_at_the_centre():
    b = CircuitBuilder(1)
    pure = bloch_vectors(b.ry(0, b.weight("a")).rz(0, b.weight("b")).build(), samples=200)
    np.testing.assert_allclose(np.linalg.norm(pure, axis=1), 1, atol=1e-12)
    assert pure.std(axis=0).min() > 0.3
    b = CircuitBuilder(2)
    bell = b.h(0).cx(0, 1).rz(1, b.weight("a")).build()
    np.testing.assert_allclose(bloch_vectors(bell, wire=1, samples=20), 0, atol=1e-12)


def test_bloch_vectors_point_where_the_rotation_turned():
    b = CircuitBuilder(2)
    circuit = b.gate("ry", 1, angles=(0.7,)).gate("rz", 1, angles=(0.4,)).build()
    wanted = [np.sin(0.7) * np.cos(0.4), np.sin(0.7) * np.sin(0.4), np.cos(0.7)]
    np.testing.assert_allclose(bloch_vectors(circuit, wire=1, samples=2), [wanted] * 2, atol=1e-12)
    with pytest.raises(ConfigurationError, match="wire 2"):
        bloch_vectors(circuit, wire=2)


def test_qsphere_places():
    state = np.zeros(8, dtype=complex)
    state[0], state[7], state[1] = 0.8, -0.48, 0.36j
    places, probabilities, phases = qsphere_points(state)
    np.testing.assert_allclose(places[0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(places[7], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1)
    np.testing.assert_allclose(places[[1, 2, 4], 2], 1 / 3)
    assert len(np.unique(places.round(9), axis=0)) == 8
    assert probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.abs(phases[[0, 1, 7]]), [0, np.pi / 2, np.pi])


def test_components_do_not_see_a_global_phase_and_agree_with_a_plain_pca():
    rng = np.random.default_rng(0)
    psi = rng.normal(size=(60, 4)) + 1j * rng.normal(size=(60, 4))
    psi /= np.linalg.norm(psi, axis=1, keepdims=True)
    places, shares = principal_components(psi)
    turned, _ = principal_components(psi * np.exp(1j * rng.uniform(0, 6, (60, 1))))
    np.testing.assert_allclose(np.abs(places), np.abs(turned), atol=1e-9)
    matrices = np.einsum("ri,rj->rij", psi, psi.conj()).reshape(60, -1)
    flat = np.concatenate([matrices.real, matrices.imag], axis=1)
    flat -= flat.mean(axis=0)
    u, s, _ = np.linalg.svd(flat, full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    np.testing.assert_allclose(shares, (s**2 / (s**2).sum())[:2], atol=1e-9)
    with pytest.raises(DataError, match="three states"):
        principal_components(psi[:2])


def test_each_picture_is_a_png_and_the_same_twice(tmp_path):
    circuit = sim_circuit(9, 3)
    makers = {
        "bloch": lambda out: bloch(circuit, out, wire=1, samples=30),
        "qsphere": lambda out: qsphere(circuit, out, seed=3),
        "pca": lambda out: pca_states({"nine": circuit, "one": sim_circuit(1, 3)}, out, samples=30),
    }
    for name, make in makers.items():
        paths = [make(tmp_path / f"{name}{k}.png") for k in range(2)]
        first, second = (Image.open(p) for p in paths)
        assert min(first.size) > 400
        assert len(first.convert("RGB").getcolors(10**6)) > 20  # something was drawn
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_bad_input_writes_nothing(tmp_path, monkeypatch):
    out = tmp_path / "x.png"
    circuit = sim_circuit(1, 2)
    with pytest.raises(ConfigurationError, match="wanted 4 values"):
        qsphere(circuit, out, values=[1.0])
    with pytest.raises(ConfigurationError, match="same number of wires"):
        pca_states({"a": circuit, "b": sim_circuit(1, 3)}, out)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"qimg-metrics\[pictures\]"):
        bloch(circuit, out)
    assert list(tmp_path.iterdir()) == []
