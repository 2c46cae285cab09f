"""MQT Bench's circuits on every exact path: Qiskit's state vector, our oracle and seven devices give the same numbers.

The circuits are those of mqt.bench (Quetschlich, Burgholzer, Wille, Quantum 7, 1062, 2023; MIT), written by Qiskit as
OpenQASM 3 and read by `qimg_core.circuit`. ``-s`` prints which families ran and why the others did not.
"""

import functools

import numpy as np
import pytest

from qimg_core import Session
from qimg_core.circuit.qasm_reader import from_qasm3
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.jobs import Polling
from qimg_core.measurement import Probabilities
from qimg_core.testing.reference import probabilities, statevector
from qimg_ionq.testing import FakeIonQ

mqt = pytest.importorskip("mqt.bench")

TOLERANCE = 1e-9
FAST = ("bmw_quark_copula", "bv", "ghz", "graphstate", "qaoa", "qpeinexact", "randomcircuit", "wstate")
FAST_PATHS = ("simulator", "pennylane", "ibm:aer", "classical")
PATHS = (*FAST_PATHS, "pennylane:default.qubit", "braket:local", "ionq")
DYNAMIC = {"dynamic_qft", "ghz_dynamic", "iqpe", "seven_qubit_steane_code", "shors_nine_qubit_code"}
LARGE = {"shor": "18 qubits at least"}
"""What cannot run here, and why. Everything else of the package must."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def families():
    from mqt.bench.benchmarks import get_available_benchmark_names

    return tuple(get_available_benchmark_names())


@functools.cache
def made(family):
    """The family's algorithm at the first of these sizes that it comes in, without its final measurements."""
    np.random.seed(7)  # randomcircuit and the parameters of some families draw from the global state
    for qubits in (5, 6, 4, 3, 13, 17):
        try:
            circuit = mqt.get_benchmark(family, mqt.BenchmarkLevel.ALG, qubits)
        except ValueError:
            continue
        circuit.remove_final_measurements(inplace=True)
        return circuit
    raise AssertionError(f"{family}: no size that was tried")


def written(circuit):
    """As OpenQASM 3. Where Qiskit's exporter fails at an angle that is an array (family ae), in u and cx."""
    from qiskit import qasm3, transpile

    try:
        return qasm3.dumps(circuit)
    except TypeError:
        return qasm3.dumps(transpile(circuit, basis_gates=["u", "cx"], optimization_level=0))


def by_qiskit(circuit, wires):
    """Distribution over ``wires`` in the order given, the first most significant, from Qiskit's state vector."""
    from qiskit.quantum_info import Statevector

    return Statevector(circuit).probabilities(list(wires)[::-1])


def scrambled(n):
    """All wires in an order that is neither its own inverse nor the plain or the reversed one."""
    return tuple(np.roll(np.arange(n), 1)) if n < 4 else (2, 0, 1, *range(n - 1, 2, -1))


@pytest.fixture(scope="module")
def sessions():
    """Each path opened once; IonQ's is a fake on a loopback port with a simulator of its own."""
    opened = {}
    with FakeIonQ() as fake, pytest.MonkeyPatch.context() as patch:
        for name, value in fake.environment.items():
            patch.setenv(name, value)

        def session(path):
            if path not in opened:
                quiet = Polling(sleep=lambda seconds: None)
                opened[path] = Session(None, seed=1, backend=path, profile="light", polling=quiet)
                opened[path].__enter__()
            return opened[path]

        yield session
        for one in opened.values():
            one.__exit__(None, None, None)


def agree(family, sessions, paths):
    """Assert that Qiskit, the oracle and the devices agree; returns a line that says so."""
    public = made(family)
    circuit = from_qasm3(written(public))
    order = scrambled(circuit.n_wires)
    wanted = by_qiskit(public, order)
    oracle = probabilities(statevector(circuit, np.zeros(0)), order)
    worst = {"reference": float(np.abs(oracle - wanted).max())}
    asked = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities(order)
    )
    for path in paths:
        result = sessions(path).execute(asked)
        assert result.record.shots is None
        worst[path] = float(np.abs(result.data[0] - wanted).max())
    wrong = {path: distance for path, distance in worst.items() if not distance <= TOLERANCE}
    assert not wrong, f"{family}: off by {wrong}"
    return f"{family}: {circuit.n_wires} wires, {len(circuit.gates)} gates, within {max(worst.values()):.0e}"


@pytest.mark.parametrize("family", FAST)
def test_a_public_circuit_gives_the_same_distribution_on_the_fast_paths(family, sessions):
    print("\n  " + agree(family, sessions, FAST_PATHS))


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(families()) - DYNAMIC - set(LARGE)))
def test_every_expressible_family_gives_the_same_distribution_on_every_path(family, sessions):
    print("\n  " + agree(family, sessions, PATHS))


@pytest.mark.parametrize("family", sorted(DYNAMIC))
def test_a_circuit_that_goes_on_after_measuring_is_refused_and_says_why(family):
    with pytest.raises(ConfigurationError, match="cannot read 'bit'|measured") as refused:
        from_qasm3(written(made(family)))
    print(f"\n  {family} refused: {refused.value}")


def test_nothing_is_left_out_without_a_word():
    named = set(FAST) | DYNAMIC | set(LARGE)
    assert named <= set(families())
    print(f"\n  too large for this test: {LARGE}")
    print(f"  {len(families())} families: {len(families()) - len(DYNAMIC) - len(LARGE)} run, {len(DYNAMIC)} refused")


def test_a_wrong_order_of_wires_would_be_seen():
    public = made("qpeinexact")
    circuit = from_qasm3(written(public))
    order = scrambled(circuit.n_wires)
    inverse = tuple(int(i) for i in np.argsort(order))
    assert inverse != order
    state = statevector(circuit, np.zeros(0))
    for wrong in (order[::-1], inverse, tuple(range(circuit.n_wires))):
        assert np.abs(probabilities(state, wrong) - by_qiskit(public, order)).max() > 0.01
