"""The density-matrix engine against Aer's and PennyLane's, every gate, Pauli and Kraus channels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import UNITARY, matrix
from qimg_core.errors import CapabilityError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_core.noise import (
    Channel,
    NoiseModel,
    NoiseRule,
    amplitude_damping,
    bit_flip,
    dephasing,
    depolarizing,
)
from qimg_simulator.backend import SimulatorBackend

GATES = sorted(UNITARY)
PAULI = {"I": np.eye(2, dtype=complex), **{p.upper(): matrix(GateName(p)) for p in "xyz"}}
PAULI_ONLY = NoiseModel((NoiseRule(depolarizing(0.02)), NoiseRule(dephasing(0.03), frozenset({"cx", "rxx", "h"}))))
MIXED = NoiseModel(
    (
        NoiseRule(amplitude_damping(0.05), frozenset({"cx", "ry", "crz", "swap", "ccx"})),
        NoiseRule(depolarizing(0.03)),
        NoiseRule(bit_flip(0.02), frozenset({"rzz", "cz", "sx"})),
    )
)


def noisy_circuit(n: int, n_gates: int, seed: int) -> tuple[Circuit, Any, Any]:
    """Every gate in turn, with angles of all roles and 2 rows of numbers."""
    rng = np.random.default_rng(seed)
    names = [g for g in GATES if (GateName(g).n_wires or 1) <= n]
    parameters: list[Parameter] = []
    gates = []
    for name in (names[i] for i in rng.permutation(n_gates) % len(names)):
        angles: tuple[Angle, ...] = ()
        if GateName(name).n_angles:
            parameters.append(Parameter(f"p{len(parameters)}", "input" if rng.random() < 0.5 else "weight"))
            angles = (Angle(len(parameters) - 1, rng.uniform(-2, 2), rng.uniform(-2, 2)),)
            if rng.random() < 0.2:
                angles = (Angle(offset=rng.uniform(-6, 6)),)
        gates.append(Gate(name, tuple(int(w) for w in rng.permutation(n)[: GateName(name).n_wires]), angles))
    circuit = Circuit(n, gates, parameters)
    return circuit, rng.uniform(-6, 6, (2, circuit.n_inputs)), rng.uniform(-6, 6, circuit.n_weights)


def run(circuit: Circuit, x: Any, w: Any, measurement: Any, noise: NoiseModel, **more: Any) -> Any:
    request = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, noise=noise, **more)
    return SimulatorBackend().run(request).data


def kraus_of(channel: Channel) -> list[Any]:
    if channel.pauli is not None:
        return [np.sqrt(p) * m for p, m in zip(channel.pauli, PAULI.values(), strict=True)]
    return [np.array(k, dtype=complex) for k in channel.kraus]


def aer_density_matrices(circuit: Circuit, x: Any, w: Any, noise: NoiseModel) -> Any:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import DensityMatrix
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel as AerNoise
    from qiskit_aer.noise import kraus_error

    model = AerNoise()
    for name in {g.name for g in circuit.gates}:
        error = None
        for rule in noise.rules:
            if not rule.gates or name in rule.gates:
                one = kraus_error(kraus_of(rule.channel))
                error = one if error is None else error.compose(one)
        if error is not None:
            each = error
            for _ in range((name.n_wires or 1) - 1):
                each = each.tensor(error)
            model.add_all_qubit_quantum_error(each, [name.value])
    model.add_basis_gates([g.value for g in UNITARY])
    simulator = AerSimulator(method="density_matrix", noise_model=model, max_parallel_threads=1)
    out = []
    for row in circuit.values(x, w):
        qc = QuantumCircuit(circuit.n_wires)
        for gate in circuit.gates:
            values = [a.offset + (0 if a.parameter is None else a.scale * row[a.parameter]) for a in gate.angles]
            if gate.name.value.startswith("cr"):  # Aer has no such instruction: a unitary with a label for the noise
                from qiskit.circuit.library import CRXGate, CRYGate, CRZGate

                made = {"crx": CRXGate, "cry": CRYGate, "crz": CRZGate}[gate.name.value](*values)
                qc.unitary(made.to_matrix(), list(gate.wires), label=gate.name.value)
            else:
                getattr(qc, gate.name.value)(*values, *gate.wires)
        qc.save_density_matrix()
        rho = simulator.run(qc).result().data()["density_matrix"]
        out.append(DensityMatrix(rho).reverse_qargs().data)
    return np.array(out)


@pytest.mark.parametrize("noise", [PAULI_ONLY, MIXED], ids=["pauli", "kraus"])
@pytest.mark.parametrize(("n", "n_gates", "seed"), [(1, 20, 0), (3, 66, 1), (4, 66, 2)])
def test_density_matrices_agree_with_aer(n: int, n_gates: int, seed: int, noise: NoiseModel) -> None:
    circuit, x, w = noisy_circuit(n, n_gates, seed)
    ours = run(circuit, x, w, State(), noise)
    assert ours.shape == (2, 2**n, 2**n)
    np.testing.assert_allclose(ours, aer_density_matrices(circuit, x, w, noise), atol=1e-8)


def test_every_measurement_is_read_from_the_density_matrix() -> None:
    circuit, x, w = noisy_circuit(4, 50, 5)
    rho = run(circuit, x, w, State(), MIXED).reshape(2, *(2,) * 8)
    diagonal = np.einsum("rabcdabcd->rabcd", rho).real
    np.testing.assert_allclose(
        run(circuit, x, w, Probabilities((2, 0, 1)), MIXED),
        diagonal.sum(4).transpose(0, 3, 1, 2).reshape(2, 8),
        atol=1e-12,
    )
    z, y, p_x = (PAULI[letter] for letter in "ZYX")
    expected = -0.7 * np.einsum("rabcdebfg,ea,fc,gd->r", rho, z, y, p_x).real
    terms = [pauli("Z0 Y2 X3", -0.7), PauliString(())]
    out = run(circuit, x, w, Expectation(terms), MIXED)
    np.testing.assert_allclose(out, np.stack([expected, np.ones(2)], 1), atol=1e-12)
    block = run(circuit, x, w, LocalStates([(3, 1), (2,)]), MIXED)
    for i, a in enumerate("IXYZ"):
        for j, b in enumerate("IXYZ"):
            value = np.einsum("rabcdaecf,fd,eb->r", rho, PAULI[a], PAULI[b]).real
            np.testing.assert_allclose(block[:, 4 * i + j], value, atol=1e-12)
    h = np.array([[[0.3, 0.1 - 0.4j], [0.1 + 0.4j, -1.0]]])
    direct = run(circuit, x, w, LocalStates([(2,)]), MIXED, readout=(h,))
    np.testing.assert_allclose(direct[:, 0], np.einsum("rabcdabed,ec->r", rho, h[0]).real, atol=1e-12)


def test_gradients_agree_with_default_mixed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pennylane as qml

    names = {
        "cx": qml.CNOT,
        "ry": qml.RY,
        "rx": qml.RX,
        "rz": qml.RZ,
        "crx": qml.CRX,
        "rzz": qml.IsingZZ,
        "h": qml.Hadamard,
    }
    b = CircuitBuilder(3)
    for layer in range(2):
        for q in range(3):
            b.ry(q, b.input(f"x{layer}{q}")).rz(q, b.weight(f"a{layer}{q}")).rx(q, b.weight(f"b{layer}{q}") * 0.5)
            b.rx(q, b.input(f"y{layer}{q}"))
        b.cx(2, 0).gate("crx", 1, 2, angles=(b.weight(f"c{layer}"),))
        b.h(1).gate("rzz", 0, 2, angles=(b.input(f"d{layer}"),))
    circuit = b.build()
    rng = np.random.default_rng(0)
    x, w = rng.uniform(-6, 6, (1, circuit.n_inputs)), rng.uniform(-6, 6, circuit.n_weights)
    terms = [pauli("Z0 X2"), pauli("Y1")]

    def body(row: Any) -> Any:
        for gate in circuit.gates:
            angles = [a.scale * row[a.parameter] + a.offset for a in gate.angles if a.parameter is not None]
            names[gate.name.value](*angles, wires=list(gate.wires))
            for rule in MIXED.rules:
                if not rule.gates or gate.name in rule.gates:
                    for wire in gate.wires:
                        qml.QubitChannel(kraus_of(rule.channel), wires=wire)
        return [qml.expval(qml.PauliZ(0) @ qml.PauliX(2)), qml.expval(qml.PauliY(1))]

    device = qml.device("default.mixed", wires=3)
    node = qml.QNode(body, device, interface="torch", diff_method="backprop")
    exact = qml.QNode(body, device, interface=None, diff_method=None)(circuit.values(x, w)[0])
    xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    values: list[Any] = [None] * len(circuit.parameters)
    for column, p in enumerate(circuit.input_indices):
        values[p] = xt[0, column]
    for column, p in enumerate(circuit.weight_indices):
        values[p] = wt[column]
    theirs = torch.stack(list(node(values)))
    (theirs * torch.tensor([1.0, -2.0])).sum().backward()
    xo, wo = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    ours = run(circuit, xo, wo, Expectation(terms), MIXED)
    (ours * torch.tensor([1.0, -2.0])).sum().backward()
    # with torch, PennyLane 0.45 computes IsingZZ in single precision (3e-9 off); its numpy path is exact
    np.testing.assert_allclose(ours.detach()[0], exact, atol=1e-9)
    np.testing.assert_allclose(xo.grad, xt.grad, atol=1e-6)
    np.testing.assert_allclose(wo.grad, wt.grad, atol=1e-6)


def test_readout_error_is_the_confusion_matrix_of_each_wire() -> None:
    """The documented matrix [[1 - p10, p01], [p10, 1 - p01]] on the exact distribution, wire by wire."""
    circuit, x, w = noisy_circuit(3, 40, 7)
    clean = run(circuit, x, w, Probabilities((2, 0)), PAULI_ONLY).reshape(2, 2, 2)
    p10, p01 = 0.07, 0.02
    wrong = NoiseModel(PAULI_ONLY.rules, (p10, p01))
    m = np.array([[1 - p10, p01], [p10, 1 - p01]])
    expected = np.einsum("ai,bj,rij->rab", m, m, clean)
    np.testing.assert_allclose(run(circuit, x, w, Probabilities((2, 0)), wrong).reshape(2, 2, 2), expected, atol=1e-12)
    parity = np.einsum("rab,a,b->r", expected, [1, -1], [1, -1])
    np.testing.assert_allclose(run(circuit, x, w, Expectation([pauli("Z0 Z2")]), wrong)[:, 0], parity, atol=1e-12)
    block = run(circuit, x, w, LocalStates([(2, 0)]), wrong)
    np.testing.assert_allclose(block[:, 15], parity, atol=1e-12)
    np.testing.assert_allclose(block[:, 12], np.einsum("rab,a->r", expected, [1, -1]), atol=1e-12)


def test_prepare_is_not_followed_by_noise_and_no_rules_means_no_noise() -> None:
    b = CircuitBuilder(3)
    amplitudes = tuple(b.input(f"a{i}") for i in range(8))
    b.gate("prepare", 2, 0, angles=amplitudes)
    circuit = b.cx(0, 1).gate("ccx", 2, 1, 0).build()
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    psi = (
        SimulatorBackend()
        .run(ExecutionRequest(circuit=circuit, inputs=x, weights=np.zeros(0), measurement=State()))
        .data
    )
    rho = run(circuit, x, np.zeros(0), State(), NoiseModel())
    np.testing.assert_allclose(rho, psi[:, :, None] * psi.conj()[:, None, :], atol=1e-12)
    alone = Circuit(3, circuit.gates[:1], circuit.parameters)
    noisy = run(alone, x, np.zeros(0), State(), NoiseModel((NoiseRule(depolarizing(0.5)),)))
    np.testing.assert_allclose(np.einsum("rij,rji->r", noisy, noisy).real, 1, atol=1e-12)


def test_depolarizing_has_its_documented_strength() -> None:
    """rho -> (1 - p) rho + p I/2 once, on <Z> of |0>: 1 - p."""
    circuit = CircuitBuilder(1).gate("z", 0).build()
    out = run(
        circuit, np.zeros((1, 0)), np.zeros(0), Expectation([pauli("Z0")]), NoiseModel((NoiseRule(depolarizing(0.3)),))
    )
    np.testing.assert_allclose(out, [[0.7]], atol=1e-14)


def test_noise_on_too_many_wires_is_refused() -> None:
    circuit = CircuitBuilder(11).h(0).build()
    with pytest.raises(CapabilityError, match="up to 10 with noise"):
        run(circuit, np.zeros((1, 0)), np.zeros(0), State(), PAULI_ONLY)


def test_rows_and_weights_by_row() -> None:
    circuit, x, w = noisy_circuit(3, 40, 9)
    by_row = np.stack([w, w + 0.3])
    whole = run(circuit, x, by_row, Probabilities((0, 1, 2)), MIXED)
    for i in range(2):
        np.testing.assert_allclose(
            whole[i], run(circuit, x[i : i + 1], by_row[i], Probabilities((0, 1, 2)), MIXED)[0], atol=1e-12
        )
