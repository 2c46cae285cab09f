"""The IR: identity, composition, inverse, and the reference matrices against Qiskit's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, matrix
from qimg_core.errors import ConfigurationError
from qimg_core.testing import statevector, unitary


def random_circuit(rng, n=3, length=12, prepare=False):
    b = CircuitBuilder(n)
    angles = [b.input("x"), b.weight("v"), b.weight("w")]
    names = sorted(UNITARY - {GateName.CCX} if n < 3 else UNITARY)
    for _ in range(length):
        name = GateName(rng.choice(names))
        wires = rng.permutation(n)[: name.n_wires]
        angle = (angles[rng.integers(3)] * float(rng.normal()) + float(rng.normal()),) if name in PARAMETRIC else ()
        b.gate(name, *map(int, wires), angles=angle)
    return b.build()


def test_the_digest_is_pinned():
    """Changing the canonical form changes every record: it needs a new IR version."""
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.input("x") * 0.5).cx(0, 1).rz(1, b.weight("w") + 0.1).build()
    text = (
        '{"gates":[["ry",[0],[[0,"0.5","0.0"]]],["cx",[0,1],[]],["rz",[1],[[1,"1.0","0.1"]]]],'
        '"ir":1,"parameters":[["x","input"],["w","weight"]],"wires":2}'
    )
    assert circuit.canonical().decode() == text
    import hashlib

    assert circuit.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_json_round_trip_keeps_the_identity(seed):
    circuit = random_circuit(np.random.default_rng(seed))
    again = Circuit.from_json(json.loads(json.dumps(circuit.to_json())))
    assert again == circuit
    assert again.digest == circuit.digest


@pytest.mark.parametrize(
    "document", [{}, {"ir": 2}, {"ir": 1, "wires": 1}, {"ir": 1, "wires": 1, "gates": [[1]], "parameters": []}]
)
def test_foreign_documents_are_refused(document):
    with pytest.raises(ConfigurationError):
        Circuit.from_json(document)


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_matrices_are_qiskits(name):
    from qiskit.circuit.library import get_standard_gate_name_mapping
    from qiskit.quantum_info import Operator

    gate = get_standard_gate_name_mapping()[name.value]
    if name in PARAMETRIC:
        gate = type(gate)(0.7)
    wanted = Operator(gate).reverse_qargs().data  # Qiskit's first qubit is the least significant
    np.testing.assert_allclose(matrix(name, 0.7 if name in PARAMETRIC else None), wanted, atol=1e-12)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_reference_state_agrees_with_qiskit(seed):
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng)
    values = rng.uniform(-6, 6, 3)
    other = QuantumCircuit(3)
    for gate in circuit.gates:
        bound = [a.offset + a.scale * values[a.parameter] for a in gate.angles]
        getattr(other, gate.name.value)(*bound, *gate.wires)
    wanted = Statevector(other).reverse_qargs().data
    np.testing.assert_allclose(statevector(circuit, values), wanted, atol=1e-10)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_inverse_undoes_with_its_phase(seed):
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng)
    both = Circuit(3, circuit.gates + circuit.inverse().gates, circuit.parameters)
    np.testing.assert_allclose(unitary(both, rng.uniform(-6, 6, 3)), np.eye(8), atol=1e-9)


def test_equal_constants_have_one_form():
    for angle in (Angle(offset=0.5) * 2.0, Angle(None, 7.0, 1.0), Angle(offset=1.0) * -1.0 * -1.0):
        assert angle == Angle(offset=1.0)
    assert repr(Angle(offset=-0.0).offset) == "0.0"


def test_then_shares_inputs_and_never_ties_weights_unless_asked():
    b = CircuitBuilder(1)
    block = b.rx(0, b.input("x")).ry(0, b.weight("w")).build()
    twice = block.then(block)
    assert [p.name for p in twice.parameters] == ["x", "w", "w'1"]
    assert [g.angle.parameter for g in twice.gates] == [0, 1, 0, 2]
    tied = block.then(block, tie=["w"])
    assert [p.name for p in tied.parameters] == ["x", "w"]
    assert [p.name for p in twice.then(block).parameters] == ["x", "w", "w'1", "w'2"]


def test_then_refuses_a_name_with_two_roles():
    b, c = CircuitBuilder(1), CircuitBuilder(1)
    first = b.rx(0, b.input("x")).build()
    second = c.rx(0, c.weight("x")).build()
    with pytest.raises(ConfigurationError, match="role|input in one"):
        first.then(second)


def test_on_moves_wires_non_involutively():
    b = CircuitBuilder(3)
    moved = b.cx(0, 1).gate("ccx", 0, 1, 2).build().on((2, 0, 1), 4)
    assert [g.wires for g in moved.gates] == [(2, 0), (2, 0, 1)]
    assert moved.n_wires == 4


def test_values_orders_columns_by_role():
    circuit = Circuit(1, (), (Parameter("w0", "weight"), Parameter("x", "input"), Parameter("w1", "weight")))
    out = circuit.values(np.array([[5.0], [6.0]]), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(out, [[1, 5, 2], [1, 6, 2]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gate("cx", (0, 0)),
        lambda: Gate("cx", (0,)),
        lambda: Gate("rx", (0,)),
        lambda: Gate("h", (0,), (Angle(0),)),
        lambda: Gate("h", (-1,)),
        lambda: Gate("prepare", (0, 1), (Angle(),) * 3),
        lambda: Circuit(1, (Gate("h", (1,)),)),
        lambda: Circuit(1, (Gate("rx", (0,), (Angle(0),)),)),
        lambda: Circuit(1, (), (Parameter("a", "input"), Parameter("a", "weight"))),
        lambda: CircuitBuilder(0),
        lambda: PauliString([(0, "X"), (0, "Z")]),
        lambda: pauli("Q0"),
        lambda: pauli("Z"),
    ],
)
def test_what_is_no_circuit_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_pauli_words():
    assert pauli("x2 Z0").factors == ((0, "Z"), (2, "X"))
    assert str(pauli("Z0 X2", 0.5)) == "0.5 * Z0 X2"
    assert pauli("I").factors == ()
