"""The judge against the core's reference device, PennyLane, and finite differences of its own values."""

import numpy as np
import pennylane as qml
import pytest
from attrs import evolve

from benchmarks.check import hermitian_part
from benchmarks.engines.ours import circuit_of, measurement_of
from benchmarks.engines.pennylane_tape import tape
from benchmarks.reference import gate_matrix, solve
from benchmarks.task import Gate, Task, split_rot
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import turning_layer, upload
from benchmarks.workloads.scattered import PAIRS, scattered
from qimg_core.circuit.gates import GateName, matrix
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Probabilities
from qimg_core.testing.reference import ReferenceBackend, statevector

SMALL = {
    name: evolve(case.task, rows=2)
    for name, case in ((w.name, w.cases[0]) for w in catalogue().values())
    if name not in ("W6", "W7", "TS")
}
SMALL["R2"] = Task(name="R2", wires=4, rows=3, layers=1, gates=scattered(4, 40, 7))
SMALL["W4"] = evolve(SMALL["W4"], generators=3)
SMALL["W3"] = Task(name="W3", wires=3, rows=2, layers=1, gates=turning_layer(3, 0), amplitudes=True)
NOISY = Task(name="W7", wires=3, rows=2, layers=1, gates=[*upload(3), *turning_layer(3, 0)], noise=0.05)


def doubles(task, seed=3):
    """The task's arrays in float64, so that differences can be taken."""
    return {k: v.astype(complex if k == "h" else float) for k, v in task.arrays(seed).items()}


@pytest.mark.parametrize("name", ["rx", "ry", "rz", *PAIRS])
def test_gates_are_those_of_the_circuit_ir(name):
    angles = np.array([0.3, -2.5, 5.0])
    u, d = gate_matrix(name, angles)
    for k, angle in enumerate(angles):
        np.testing.assert_allclose(u[k], matrix(GateName(name), angle), atol=1e-15)
        slope = (matrix(GateName(name), angle + 1e-6) - matrix(GateName(name), angle - 1e-6)) / 2e-6
        np.testing.assert_allclose(d[k], slope, atol=1e-9)


@pytest.mark.parametrize("name", ["h", "cx", "cz"])
def test_gates_without_angle_are_those_of_the_circuit_ir(name):
    u, d = gate_matrix(name)
    np.testing.assert_allclose(u[0], matrix(GateName(name)), atol=1e-15)
    assert d is None


@pytest.mark.parametrize("name", ["W1", "W2", "RU", "R2", "W3", "W5", "W8", "W4"])
def test_values_are_those_of_the_reference_device(name):
    task = SMALL[name]
    arrays = doubles(task)
    circuit = circuit_of(task)
    x, w = np.tile(arrays["x"], (task.generators, 1)), arrays["w"]
    if task.amplitudes:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    if task.generators > 1:
        w = np.repeat(w, task.rows, 0)
    found = solve(task, arrays)["values"]
    if task.reading == "windows":
        for row, values in enumerate(circuit.values(x, w)):
            psi = statevector(circuit, values).reshape((2,) * task.wires)
            for i, window in enumerate(task.windows):
                front = np.moveaxis(psi, window, range(len(window))).reshape(2 ** len(window), -1)
                assert found[row, i] == pytest.approx(np.vdot(front, arrays["h"][i] @ front).real, abs=1e-12)
        return
    request = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement_of(task))
    wanted = ReferenceBackend().run(request).data
    if task.reading == "postselected":
        wanted = wanted[:, : 2 ** (task.wires - 1)]
        wanted = wanted / wanted.sum(1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("task", [*SMALL.values(), NOISY], ids=lambda t: t.name)
def test_derivatives_are_slopes_of_the_values(task):
    if task.reading == "counts":
        return
    arrays = doubles(task)
    found = solve(task, arrays)
    rng = np.random.default_rng(5)
    for name in [k for k in arrays if k != "c"]:
        way = rng.normal(size=arrays[name].shape)
        if name == "h":
            way = hermitian_part(way + 1j * rng.normal(size=way.shape))
        up, down = ({**arrays, name: arrays[name] + e * way} for e in (1e-5, -1e-5))
        slope = ((solve(task, up)["values"] - solve(task, down)["values"]) * arrays["c"]).sum() / 2e-5
        assert (found[name].conj() * way).sum().real == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_noisy_values_are_those_of_default_mixed():
    arrays = doubles(NOISY)
    node = qml.QNode(tape(NOISY), qml.device("default.mixed", wires=3), diff_method=None)
    wanted = np.stack(node(arrays["x"], arrays["w"]), -1)
    np.testing.assert_allclose(solve(NOISY, arrays)["values"], wanted, atol=1e-12)


def test_rot_is_three_turns():
    gate = Gate("rot", (1,), (("w", 0), ("w", 1), ("w", 2)))
    assert [(g.name, g.angles) for g in split_rot([gate])] == [
        ("rz", (("w", 0),)),
        ("ry", (("w", 1),)),
        ("rz", (("w", 2),)),
    ]
    task = Task(name="rot", wires=2, rows=2, layers=1, gates=[*upload(2), gate, Gate("cx", (1, 0))])
    node = qml.QNode(tape(task), qml.device("default.qubit", wires=2), diff_method=None)
    arrays = doubles(task)
    np.testing.assert_allclose(solve(task, arrays)["values"], np.stack(node(arrays["x"], arrays["w"]), -1), atol=1e-12)


def test_shots_are_judged_by_the_distribution_of_all_wires():
    task = SMALL["W8"]
    arrays = doubles(task)
    request = ExecutionRequest(
        circuit=circuit_of(task), inputs=arrays["x"], weights=arrays["w"], measurement=Probabilities(range(8))
    )
    np.testing.assert_allclose(solve(task, arrays)["values"], ReferenceBackend().run(request).data, atol=1e-12)
