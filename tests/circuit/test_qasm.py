"""OpenQASM 3: Qiskit reads the same unitary; reading back gives the same digest; bad text names its line."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.quantum_info import Operator

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter
from qimg_core.circuit.gates import NON_UNITARY, UNITARY
from qimg_core.circuit.qasm import from_qasm3, to_qasm3
from qimg_core.errors import ConfigurationError

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[3] q;\n'


def qiskit_unitary(program: QuantumCircuit) -> np.ndarray:
    return Operator(program.reverse_bits()).data  # Qiskit's first qubit is the least significant


def qiskit_reads(text: str, values: dict[str, float] | None = None) -> np.ndarray:
    program = qasm3.loads(text)
    if program.parameters:
        program = program.assign_parameters({p.name: (values or {})[p.name] for p in program.parameters})
    return qiskit_unitary(program)


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_qiskit_reads_every_gate_as_we_mean_it(name, unitary):
    angles = (Angle(offset=1.234),) if name.n_angles else ()
    for wires in itertools.permutations(range(3), name.n_wires):
        circuit = Circuit(3, (Gate(name, wires, angles),))
        np.testing.assert_allclose(qiskit_reads(to_qasm3(circuit)), unitary(circuit), atol=1e-12)


def test_qiskit_reads_a_long_circuit_with_parameters(make_random, unitary, rng):
    circuit = make_random(rng, 4, sorted(UNITARY), 60)
    values = rng.uniform(-2 * np.pi, 2 * np.pi, len(circuit.parameters))
    by_name = {p.name: v for p, v in zip(circuit.parameters, values, strict=True)}
    np.testing.assert_allclose(qiskit_reads(to_qasm3(circuit), by_name), unitary(circuit, values), atol=1e-10)
    np.testing.assert_allclose(qiskit_reads(to_qasm3(circuit, values)), unitary(circuit, values), atol=1e-10)
    assert "input" not in to_qasm3(circuit, values)
    assert from_qasm3(to_qasm3(circuit, values)).parameters == ()


def test_we_read_what_qiskit_writes(unitary, same_up_to_phase):
    q = QuantumCircuit(3)
    q.h(0)
    q.u(0.3, 1.1, -0.7, 1)
    q.cp(0.4, 0, 2)
    q.cy(1, 2)
    q.ch(2, 0)
    q.cswap(0, 1, 2)
    q.rzz(0.9, 0, 2)
    q.rxx(-0.2, 2, 1)
    q.ryy(0.6, 0, 1)
    q.barrier()
    q.id(0)
    q.sxdg(1)
    q.iswap(0, 1)
    q.ccx(2, 0, 1)
    circuit = from_qasm3(qasm3.dumps(q))
    same_up_to_phase(unitary(circuit), qiskit_unitary(q))
    assert GateName.RZZ in {g.name for g in circuit.gates}  # their definition is ours under other names


@pytest.mark.parametrize(
    ("call", "angles"),
    [("cp", 1), ("cphase", 1), ("p", 1), ("phase", 1), ("u1", 1), ("u2", 2), ("u3", 3), ("U", 3), ("cu", 4)]
    + [(name, 0) for name in ("CX", "cy", "ch", "cswap", "id")],
)
def test_aliases_are_what_qiskit_takes_them_for(call, angles, unitary, same_up_to_phase, rng):
    numbers = ", ".join(map(repr, rng.uniform(-6, 6, angles).tolist()))
    n = {"cswap": 3, "c": 2, "C": 2}.get(call if call == "cswap" else call[0], 1)
    wires = ", ".join(["q[2]", "q[0]", "q[1]"][:n])
    text = f"{HEAD}{call}{f'({numbers})' if angles else ''} {wires};\n"
    same_up_to_phase(unitary(from_qasm3(text)), qiskit_reads(text))


numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ["pi", "q", "h", "in", "l0.w'1"]
)


@st.composite
def circuits(draw):
    n = draw(st.integers(1, 5))
    parameters = tuple(
        Parameter(name, draw(st.sampled_from(["input", "weight"])))
        for name in draw(st.lists(names, unique=True, max_size=5))
    )
    usable = [g for g in sorted(UNITARY | NON_UNITARY) if g.n_wires <= n]
    gates = []
    for _ in range(draw(st.integers(0, 12))):
        name = draw(st.sampled_from(usable))
        wires = draw(st.permutations(range(n)))[: name.n_wires]
        angles = ()
        if name.n_angles:
            index = draw(st.none() | st.integers(0, len(parameters) - 1)) if parameters else None
            scale = 1.0 if index is None else draw(numbers)
            angles = (Angle(index, scale, draw(numbers)),)
        gates.append(Gate(name, wires, angles))
    return Circuit(n, tuple(gates), parameters)


@settings(max_examples=200, deadline=None)
@given(circuits())
def test_reading_back_gives_the_same_digest(circuit):
    again = from_qasm3(to_qasm3(circuit))
    assert json.loads(again.canonical()) == json.loads(circuit.canonical())
    assert again.digest == circuit.digest


def test_the_inverse_reads_back_too(make_random, rng):
    circuit = make_random(rng, 3, sorted(UNITARY), 40).inverse()  # full of offsets -0.0
    assert from_qasm3(to_qasm3(circuit)).digest == circuit.digest


@pytest.mark.parametrize(
    ("text", "angle"),
    [
        ("pi/2", Angle(offset=math.pi / 2)),
        ("-(1 + 2.5e-1) * 2", Angle(offset=-2.5)),
        ("v", Angle(0)),
        ("(v - 1) / 4 + v", Angle(0, 1.25, -0.25)),
        ("2 * -v + 2*tau - 1_0", Angle(0, -2.0, 2 * math.tau - 10)),
        ("π*v/2.", Angle(0, math.pi / 2)),
    ],
)
def test_expressions(text, angle):
    circuit = from_qasm3(f"input angle[32] v; qubit q; rx({text}) q;")
    assert circuit.gates == (Gate(GateName.RX, (0,), (angle,)),)
    assert circuit.parameters == (Parameter("v", "weight"),)


def test_registers_roles_and_broadcast():
    circuit = from_qasm3(
        """OPENQASM 3; /* two
        lines */ include 'stdgates.inc';
        // qimg input "data 0"
        input float v;
        gate pair(t) a, b { ry(t/2) a; cx a, b; }
        qubit[2] a; qreg b[2]; qubit c;
        h a;          // each wire
        cx a, b;
        pair(3 * v) c, a;
        """
    )
    v = Angle(0, 1.5)
    assert circuit.n_wires == 5
    assert circuit.parameters == (Parameter("data 0", "input"),)
    h, cx, ry = GateName.H, GateName.CX, GateName.RY
    assert circuit.gates == (
        *(Gate(h, (0,)), Gate(h, (1,)), Gate(cx, (0, 2)), Gate(cx, (1, 3))),
        *(Gate(ry, (4,), (v,)), Gate(cx, (4, 0)), Gate(ry, (4,), (v,)), Gate(cx, (4, 1))),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frobnicate q[0];", "no gate of that name"),
        ("bit[3] c;", "belongs to the request"),
        ("c[0] = measure q[0];", "'c'"),
        ("measure q[0] -> c[0];", "'->'"),
        ("ctrl @ x q[0], q[1];", "'ctrl'"),
        ("gphase(0.1);", "'gphase'"),
        ("if (true) x q[0];", "'if'"),
        ("for int i in [0:2] { x q[i]; }", "'for'"),
        ("x q[3];", "outside the register of 3"),
        ("x q[0:1];", "wanted ']'"),
        ("x r[0];", "no qubits named 'r'"),
        ("x $0;", "no qubits named '$0'"),
        ("cx q[1], q[1];", "distinct"),
        ("cx q, q;", "distinct"),
        ("cx q[0];", "takes 0 angle(s) and 2 qubit(s), got 0 and 1"),
        ("rx q[0];", "takes 1 angle(s)"),
        ("rx(1, 2) q[0];", "got 2 and 1"),
        ("rx(sin(1)) q[0];", "found 'sin'"),
        ("rx(2 ** 3) q[0];", "'**'"),
        ("rx(1/2) q[0];", "drops the remainder"),
        ("rx(1.0/0) q[0];", "division by zero"),
        ("rx(1e999) q[0];", "too large"),
        ("rx(y) q[0];", "found 'y'"),
        ("rx(w * w) q[0];", "product of two"),
        ("rx(1 / w) q[0];", "division by one"),
        ("rx(w + v) q[0];", "sum of two"),
        ("x q[0]", "wanted ','"),
        ('include "other.inc";', "only stdgates.inc"),
        ("OPENQASM 2.0;", "wanted OpenQASM 3"),
        ("input int n;", "'int'"),
        ("input float q;", "taken"),
        ("input float cx;", "taken"),
        ("qubit[0] r;", "got 0"),
        ("qubit[99999999] r;", "wanted 1 to"),
        ("qubit[n] r;", "wanted a number of qubits"),
        ("gate h a { x a; }", "taken"),
        ("gate g a { g a; } g q[0];", "uses itself"),
        ("gate g a { x b; } g q[0];", "no qubit named 'b'"),
        ("gate g a { x a;", "no end"),
        ("// qimg weight 'z'\nx q[0]; ~ q[1];", "'~'"),
        ('// qimg weight "z"\nx q[0];', "right before its input"),
        ('// qimg weight "z\ninput float z;', "JSON string"),
        ("/* open", "cannot read '/* open'"),
        ('x "q";', "wanted a qubit"),
        ("é \x00;", "cannot read"),
    ],
)
def test_what_a_circuit_cannot_hold_is_refused_with_its_line(line, message):
    text = HEAD + "input float w; input float v;\n" + line
    with pytest.raises(ConfigurationError, match=r"line [56]: ") as caught:
        from_qasm3(text)
    assert message in str(caught.value)


def test_a_program_may_bring_its_own_cu1_once():
    """stdgates.inc has none, so Qiskit writes a definition; another meaning is taken as it is written."""
    text = HEAD + "gate cu1(a) p, q { rz(a) q; } cu1(0.3) q[0], q[1];"
    assert [g.name for g in from_qasm3(text).gates] == ["rz"]
    with pytest.raises(ConfigurationError, match="'cu1' is taken"):
        from_qasm3(text + " gate cu1(a) p, q { rz(a) q; }")


def test_refused_as_a_whole():
    with pytest.raises(ConfigurationError, match="no qubits"):
        from_qasm3("")
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        from_qasm3(f"qubit q; rx({'(' * 50_000}1{')' * 50_000}) q;")
    doubling = "gate g0 a { x a; x a; }" + "".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }}" for i in range(1, 60))
    with pytest.raises(ConfigurationError, match="more than 1000000 gates"):
        from_qasm3(f"{doubling} qubit q; {'g15 q;' * 40}")


def test_a_state_preparation_is_sent_to_lowering():
    circuit = Circuit(1, (Gate(GateName.PREPARE, (0,), (Angle(offset=0.6), Angle(offset=0.8))),))
    with pytest.raises(ConfigurationError, match=r"qimg_core\.lowering"):
        to_qasm3(circuit)


def test_values_must_fit():
    builder = CircuitBuilder(1)
    circuit = builder.rx(0, builder.weight("w")).build()
    with pytest.raises(ConfigurationError, match="wanted 1 values, one a parameter, got 2"):
        to_qasm3(circuit, [1.0, 2.0])
    with pytest.raises(ConfigurationError, match="nan"):
        to_qasm3(circuit, [math.nan])
