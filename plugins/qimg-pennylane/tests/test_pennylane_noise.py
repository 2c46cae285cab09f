"""Noise on default.mixed against our own density-matrix engine, which shares no code with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from qimg_core.circuit import CircuitBuilder, PauliString, pauli
from qimg_core.circuit.gates import UNITARY
from qimg_core.errors import CapabilityError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, bit_flip, dephasing, depolarizing
from qimg_pennylane.backend import PennyLaneBackend
from qimg_simulator.backend import SimulatorBackend

GATES = NoiseModel(
    (
        NoiseRule(amplitude_damping(0.05), frozenset({"cx", "ry", "crz", "swap", "ccx"})),
        NoiseRule(depolarizing(0.03)),
        NoiseRule(dephasing(0.04), frozenset({"cx", "h"})),
        NoiseRule(bit_flip(0.02), frozenset({"rzz", "cz", "sx"})),
    )
)
READ = NoiseModel((), (0.07, 0.02))
BOTH = NoiseModel(GATES.rules, READ.readout)
MEASUREMENTS = [
    Expectation([pauli("Z0 Y2 X1", -0.7), pauli("Y1"), PauliString((), 1.5), pauli("X0 X2")]),
    LocalStates([(2, 0), (1,), (0, 1, 2)]),
    Probabilities((2, 0, 1)),
    Probabilities((1,)),
]


def request(measurement: Any, noise: NoiseModel | None, **more: Any) -> ExecutionRequest:
    """Three wires, every gate once, a prepared register that stays clean, angles of all roles."""
    rng = np.random.default_rng(0)
    b = CircuitBuilder(3)
    b.gate("prepare", 2, 0, angles=[b.input(f"a{i}") for i in range(4)])
    x, w = b.input("x"), b.weight("w")
    for k, name in enumerate(rng.permutation(sorted(UNITARY))):
        wires = [int(v) for v in rng.permutation(3)[: next(g for g in UNITARY if g == name).n_wires]]
        rotates = next(g for g in UNITARY if g == name).n_angles
        b.gate(str(name), *wires, angles=((x * 1.3 + 0.1, w * -0.4)[k % 2],) if rotates else ())
    amplitudes = rng.normal(size=(2, 4))
    inputs = np.concatenate([amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True), [[0.4], [2.0]]], 1)
    return ExecutionRequest(
        circuit=b.build(), inputs=inputs, weights=np.array([1.1]), measurement=measurement, noise=noise, **more
    )


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: f"{m.kind.value}{len(m.wires)}")
@pytest.mark.parametrize("noise", [GATES, READ, BOTH], ids=["gates", "readout", "both"])
def test_exact_numbers_agree_with_our_engine(measurement: Any, noise: NoiseModel) -> None:
    r = request(measurement, noise)
    ours, theirs = SimulatorBackend().run(r).data, PennyLaneBackend("default.mixed").run(r).data
    np.testing.assert_allclose(theirs, ours, atol=1e-10)
    clean = SimulatorBackend().run(evolve(r, noise=None)).data
    assert np.abs(clean - ours).max() > 0.01  # the noise is felt


def test_depolarizing_has_its_documented_strength() -> None:
    """rho -> (1 - p) rho + p I/2: <Z> of |0> after one gate is 1 - p. PennyLane's own channel has another p."""
    r = ExecutionRequest(
        circuit=CircuitBuilder(1).gate("z", 0).build(),
        inputs=np.zeros((1, 0)),
        weights=np.zeros(0),
        measurement=Expectation([pauli("Z0")]),
        noise=NoiseModel((NoiseRule(depolarizing(0.3)),)),
    )
    np.testing.assert_allclose(PennyLaneBackend("default.mixed").run(r).data, [[0.7]], atol=1e-12)


def test_readout_errors_of_zero_and_one_are_a_swap_of_the_bits() -> None:
    r = ExecutionRequest(
        circuit=CircuitBuilder(2).x(1).build(),
        inputs=np.zeros((1, 0)),
        weights=np.zeros(0),
        measurement=Samples((0, 1)),
        noise=NoiseModel((), (1.0, 1.0)),
        shots=4,
        seed=1,
    )
    assert np.array_equal(PennyLaneBackend("default.mixed").run(r).data, np.tile(np.array([1, 0]), (1, 4, 1)))


@pytest.mark.parametrize("noise", [GATES, BOTH], ids=["gates", "both"])
def test_shots_follow_the_noisy_distribution(noise: NoiseModel) -> None:
    """Chi-square against our engine's exact distribution; family size 1e-3 over both rows."""
    shots, wires = 20_000, (2, 0, 1)
    bits = PennyLaneBackend("default.mixed").run(request(Samples(wires), noise, shots=shots, seed=2)).data
    p = SimulatorBackend().run(request(Probabilities(wires), noise)).data
    seen = [np.bincount(row @ (4, 2, 1), minlength=8) for row in bits.astype(int)]
    for observed, expected in zip(seen, p, strict=True):
        assert (expected * shots > 5).all()
        assert stats.chisquare(observed, expected * shots / expected.sum()).pvalue > 1e-3 / 2


def test_means_from_noisy_shots_are_read_in_the_right_bases() -> None:
    """Read-out errors act after the basis change: biased towards +1 in X and Y too."""
    for measurement in (MEASUREMENTS[0], LocalStates([(2, 0)])):
        shots = 20_000
        r = request(measurement, BOTH, shots=shots, seed=3)
        out, exact = PennyLaneBackend("default.mixed").run(r).data, SimulatorBackend().run(evolve(r, shots=None)).data
        scale = np.array([t.coefficient for t in measurement.terms]) if isinstance(measurement, Expectation) else 1.0
        sigma = np.sqrt(np.clip(scale**2 - exact**2, 0, None) / shots) + 1e-9
        assert (np.abs(out - exact) < stats.norm.isf(1e-3 / 2 / out.size) * sigma).all()


def test_only_the_density_matrix_device_takes_noise() -> None:
    for device in ("lightning.qubit", "default.qubit"):
        with pytest.raises(CapabilityError, match="noise"):
            PennyLaneBackend(device).run(request(Probabilities((0,)), GATES))


def test_rules_and_readout_of_single_wires_equal_the_simulators():
    from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, LocalStates, NoiseModel, Probabilities, pauli
    from qimg_core.noise import NoiseRule, amplitude_damping, depolarizing
    from qimg_pennylane.backend import PennyLaneBackend
    from qimg_simulator.backend import SimulatorBackend

    b = CircuitBuilder(3)
    for w in range(3):
        b.ry(w, 0.4 + 0.5 * w).rx(w, 0.3)
    circuit = b.cx(0, 1).cx(2, 1).ry(1, 0.7).build()
    noise = NoiseModel(
        rules=(
            NoiseRule(depolarizing(0.1), gates=("cx",), wires=(1, 2)),
            NoiseRule(amplitude_damping(0.2), gates=("ry",), wires=(1,)),
            NoiseRule(depolarizing(0.05), gates=("cx",), wires=(0, 1), on=(0,)),
        ),
        readout=(0.02, 0.05),
        wire_readout=((2, 0.2, 0.1),),
    )
    for measurement in (Probabilities([2, 0, 1]), Expectation([pauli("Z0 X2"), pauli("Y1")]), LocalStates([(2, 0)])):
        ask = ExecutionRequest(
            circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=measurement, noise=noise
        )
        mine = PennyLaneBackend(device="default.mixed").run(ask).data
        np.testing.assert_allclose(mine, SimulatorBackend().run(ask).data, atol=1e-10)
