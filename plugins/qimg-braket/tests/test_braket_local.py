"""``braket:local`` and ``braket:dm`` against the numpy reference, dense Kraus sums and closed forms."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from qimg_braket.devices import open_device
from qimg_braket.qasm import NAMES, measured, statements, with_result
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, PauliString, pauli
from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, UNITARY, GateName, matrix
from qimg_core.errors import CapabilityError, ConfigurationError, ResultError, UnknownName
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.noise import (
    Channel,
    NoiseModel,
    NoiseRule,
    amplitude_damping,
    bit_flip,
    dephasing,
    depolarizing,
)
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_core.settings import bound
from qimg_core.testing.reference import ReferenceBackend, expectation, statevector

MEASURED = [
    Probabilities((2, 0, 1)),
    Expectation([pauli("Z0 Y2 X1", -0.7), pauli("Z2"), PauliString((), 0.5)]),
    LocalStates([(2, 0), (1,), (0, 2, 1)]),
]
IDS = ["probabilities", "expectation", "local states"]
PAULI = [np.eye(2), *(matrix(GateName(p)) for p in "xyz")]


@pytest.fixture(scope="module")
def local() -> Any:
    return open_device("local")


@pytest.fixture(scope="module")
def dm() -> Any:
    return open_device("dm")


def test_every_gate_is_the_reference_matrix_also_in_phase(local: Any, zoo: Any, asked: Any) -> None:
    """Amplitudes of a circuit of all gates: a wrong sign, half angle, wire order or phase shows."""
    for n, seed in ((3, 0), (4, 1)):
        request = asked(zoo(n, seed=seed), State())
        np.testing.assert_allclose(local.run(request).data, ReferenceBackend().run(request).data, atol=1e-12)
    assert local.capabilities.gates == UNITARY


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_each_gate_alone(name: GateName) -> None:
    """The exported text, run by Braket, on three input states: unitary equal to the defining matrix."""
    from braket.devices import LocalSimulator
    from braket.ir.openqasm import Program

    n = name.n_wires or 1
    angles = (Angle(offset=0.8375),) if name.n_angles else ()
    for start in range(3):
        prepared = CircuitBuilder(n)
        for wire in range(n):
            prepared.ry(wire, 0.3 + start + 0.4 * wire).rz(wire, 0.2 * start - 0.5 * wire)
        circuit = prepared.build().then(Circuit(n, [Gate(name, range(n), angles)]))
        text = with_result(circuit, "state_vector")
        found = LocalSimulator("braket_sv").run(Program(source=text), shots=0).result().values[0]
        np.testing.assert_allclose(found, statevector(circuit, np.zeros(0)), atol=1e-12)


@pytest.mark.parametrize("measurement", MEASURED, ids=IDS)
def test_measurements_in_any_order_on_both_simulators(
    local: Any, dm: Any, zoo: Any, asked: Any, measurement: Any
) -> None:
    request = asked(zoo(3, seed=2), measurement)
    wanted = ReferenceBackend().run(request).data
    np.testing.assert_allclose(local.run(request).data, wanted, atol=1e-12)
    np.testing.assert_allclose(dm.run(request).data, wanted, atol=1e-12)


def test_five_wires_read_as_3_0_1_4(local: Any, zoo: Any, asked: Any) -> None:
    request = asked(zoo(5, rows=1, seed=3), Probabilities((3, 0, 1, 4)))
    np.testing.assert_allclose(local.run(request).data, ReferenceBackend().run(request).data, atol=1e-12)


def _simulators_own_answer(wires: list[int]) -> tuple[int, int]:
    """(exact, wanted) outcome of x on wire 0, read by the vendor in the order ``wires``."""
    from braket.circuits import Circuit as BraketCircuit
    from braket.devices import LocalSimulator

    circuit = BraketCircuit().x(0).i(1).i(2).probability(wires)
    found = int(np.argmax(LocalSimulator("braket_sv").run(circuit, shots=0).result().values[0]))
    return found, int("".join("1" if w == 0 else "0" for w in wires), 2)


@pytest.mark.parametrize("wires", [(1, 2, 0), (2, 0, 1)])
def test_the_vendors_inverse_order_is_real_and_avoided(local: Any, wires: tuple[int, ...]) -> None:
    """Exact probabilities of reordered targets come in the inverse order from the vendor; ours are right."""
    circuit = CircuitBuilder(3).x(0).build()
    request = _plain(circuit, np.zeros((1, 0)), Probabilities(wires))
    found = [int(np.argmax(device.run(request).data[0])) for device in (ReferenceBackend(), local)]
    vendor, wanted = _simulators_own_answer(list(wires))
    assert found == [wanted, wanted]
    if vendor == wanted:
        pytest.skip(f"amazon-braket-default-simulator {version('amazon-braket-default-simulator')} orders rightly")


def _plain(circuit: Circuit, inputs: Any, measurement: Any, **more: Any) -> Any:
    from qimg_core.execution import ExecutionRequest

    return ExecutionRequest(circuit=circuit, inputs=inputs, weights=np.zeros(0), measurement=measurement, **more)


def test_idle_wires_keep_their_places(local: Any) -> None:
    circuit = CircuitBuilder(5).x(2).h(4).build()
    request = _plain(circuit, np.zeros((1, 0)), Probabilities((4, 3, 2, 1, 0)))
    wanted = ReferenceBackend().run(request).data
    np.testing.assert_allclose(local.run(request).data, wanted, atol=1e-14)
    assert wanted[0, 0b00100] == pytest.approx(0.5)


NOISES = {
    "pauli": NoiseModel((NoiseRule(depolarizing(0.05)), NoiseRule(dephasing(0.04), ["cx", "rxx", "h"]))),
    "kraus and read-out": NoiseModel(
        (NoiseRule(amplitude_damping(0.1), ["cx", "ry", "crz", "swap"]), NoiseRule(bit_flip(0.03))), (0.07, 0.02)
    ),
    "by wire": NoiseModel(
        (NoiseRule(amplitude_damping(0.2), ["cx", "cz"], (0, 2), on=(2,)), NoiseRule(bit_flip(0.06), [], (1,))),
        wire_readout=((2, 0.1, 0.01),),
    ),
}


def _reference_density_matrix(circuit: Circuit, values: Any, noise: NoiseModel) -> Any:
    """Kraus operators put on their wires as full matrices, gate after gate."""
    n = circuit.n_wires
    rho = np.zeros((2**n, 2**n), dtype=complex)
    rho[0, 0] = 1
    plain = bound(circuit, values)

    def full(operator: Any, wires: tuple[int, ...]) -> Any:
        k = len(wires)
        tensor = np.eye(2**n, dtype=complex).reshape((2,) * n + (2**n,))
        moved = np.moveaxis(tensor, wires, range(k)).reshape(2**k, -1)
        return np.moveaxis((operator @ moved).reshape((2,) * n + (2**n,)), range(k), wires).reshape(2**n, 2**n)

    for gate in plain.gates:
        u = full(matrix(gate.name, gate.angle.offset if gate.angles else None), gate.wires)
        rho = u @ rho @ u.conj().T
        for rule in noise.rules:
            for wire in rule.targets(gate.name, gate.wires):
                rho = sum(full(k, (wire,)) @ rho @ full(k, (wire,)).conj().T for k in _kraus(rule.channel))
    return rho


def _kraus(channel: Channel) -> list[Any]:
    if channel.pauli is not None:
        return [np.sqrt(p) * m for p, m in zip(channel.pauli, PAULI, strict=True)]
    return [np.array(k, dtype=complex) for k in channel.kraus]


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_noise_is_the_kraus_sum_of_the_reference(dm: Any, zoo: Any, asked: Any, noise: NoiseModel) -> None:
    made = zoo(3, rows=1, seed=4)
    rho = _reference_density_matrix(made[0], made[0].values(made[1], made[2])[0], noise)
    p = np.diag(rho).real.reshape(2, 2, 2)
    for wire in range(3):
        one, zero = noise.readout_of(wire) or (0.0, 0.0)
        p = np.moveaxis(np.tensordot([[1 - one, zero], [one, 1 - zero]], p, (1, wire)), 0, wire)
    found = dm.run(asked(made, Probabilities((2, 0, 1)), noise=noise))
    np.testing.assert_allclose(found.data[0], p.transpose(2, 0, 1).reshape(8), atol=1e-12)
    assert ("readout" in found.provider) == bool(noise.readout or noise.wire_readout)
    z = np.einsum("abc,a,c->", p, [1, -1], [1, -1])
    block = dm.run(asked(made, LocalStates([(2, 0)]), noise=noise)).data[0]
    assert block[15] == pytest.approx(z, abs=1e-12)
    assert block[0] == pytest.approx(1, abs=1e-12)
    terms = dm.run(asked(made, Expectation([pauli("Z0 Z2", 0.5)]), noise=noise)).data[0]
    assert terms[0] == pytest.approx(0.5 * z, abs=1e-12)


def test_shots_are_ours_seeded_and_of_the_right_distribution(local: Any, zoo: Any, asked: Any) -> None:
    made = zoo(3, rows=1, seed=5)
    shots = 20_000
    exact = ReferenceBackend().run(asked(made, Probabilities((2, 0, 1)))).data[0]
    one = local.run(asked(made, Probabilities((2, 0, 1)), shots=shots, seed=7))
    again = local.run(asked(made, Probabilities((2, 0, 1)), shots=shots, seed=7))
    other = local.run(asked(made, Probabilities((2, 0, 1)), shots=shots, seed=8))
    assert one.sampling == "client"
    assert one.shots == shots
    assert (one.data == again.data).all()
    assert one.raw_digest == again.raw_digest
    assert (one.data != other.data).any()
    deviation = np.sqrt(exact * (1 - exact) / shots) + 1e-12
    assert (np.abs(one.data[0] - exact) < 5 * deviation).all()


def test_samples_and_local_states_from_shots(local: Any, dm: Any, zoo: Any, asked: Any) -> None:
    made = zoo(3, rows=2, seed=6)
    bits = local.run(asked(made, Samples((2, 0)), shots=4000, seed=1)).data
    assert bits.shape == (2, 4000, 2)
    state = [statevector(made[0], v) for v in made[0].values(made[1], made[2])]
    for row, psi in enumerate(state):
        means = 1 - 2.0 * bits[row].mean(0)
        assert means == pytest.approx([expectation(psi, [(w, "Z")]) for w in (2, 0)], abs=0.08)
    windows = LocalStates([(2, 0), (1, 2)])
    exact = ReferenceBackend().run(asked(made, windows)).data
    for device in (local, dm):  # bases X and Y are turned differently on vectors and on matrices
        drawn = device.run(asked(made, windows, shots=4000, seed=2)).data
        assert np.abs(drawn - exact).max() < 0.09
        assert np.abs(drawn - exact).max() > 0  # they are shots and not the exact numbers


def test_a_prepared_state_is_lowered_by_the_core() -> None:
    b = CircuitBuilder(2)
    circuit = b.gate("prepare", 1, 0, angles=tuple(b.input(f"a{i}") for i in range(4))).cx(0, 1).build()
    amplitudes = np.array([[0.5, -0.1, 0.7, 0.5]])
    amplitudes /= np.linalg.norm(amplitudes)
    request = _plain(circuit, amplitudes, Probabilities((1, 0)))
    with Session(None, backend="braket:local") as session:
        result = session.execute(request)
    np.testing.assert_allclose(result.data, ReferenceBackend().run(request).data, atol=1e-12)
    assert "prepare written" in result.record.decisions[0]


def test_what_is_not_claimed_is_refused(local: Any, dm: Any, zoo: Any, asked: Any) -> None:
    made = zoo(3, rows=1)
    with pytest.raises(CapabilityError, match="noise"):
        local.run(asked(made, Probabilities((0,)), noise=NoiseModel((NoiseRule(depolarizing(0.1)),))))
    with pytest.raises(CapabilityError, match="number of shots"):
        local.run(asked(made, Samples((0,))))
    with pytest.raises(CapabilityError, match="without shots"):
        local.run(asked(made, State(), shots=10))
    with pytest.raises(CapabilityError, match="measurement"):
        dm.run(asked(made, State()))


@pytest.mark.parametrize("state", [[1, 0], [0.5, 0, 0, 0]])
def test_a_state_of_the_wrong_size_or_norm_is_an_error(state: list[float]) -> None:
    """What some versions return for idle wires is never reshaped into numbers."""
    from types import SimpleNamespace

    device: Any = open_device("local")
    answer = SimpleNamespace(result=lambda: SimpleNamespace(values=[np.array(state)]))
    device._simulator = SimpleNamespace(run=lambda program, shots: answer)
    with pytest.raises(ResultError, match="norm 1"):
        device.run(_plain(CircuitBuilder(2).h(0).build(), np.zeros((1, 0)), Probabilities((0, 1))))


def test_names_of_devices() -> None:
    registry = Registry()
    assert registry.open_backend("braket").name == "braket:local"
    assert registry.open_backend("braket:dm").capabilities.noise
    assert registry.open_backend("braket:sv1").name == "braket:sv1"
    with pytest.raises(UnknownName, match="did you mean 'garnet'"):
        open_device("granet")
    with pytest.raises(ConfigurationError, match="aws braket get-device"):
        open_device("emulator:/no/such/file.json")


def test_snapshot_names_the_engine_and_is_stable(local: Any) -> None:
    one, two = local.snapshot(), local.snapshot()
    assert one.digest == two.digest
    assert one.data["amazon-braket-default-simulator"] == version("amazon-braket-default-simulator")
    assert one.data["engine"] == "braket_sv"


def test_text_of_a_program() -> None:
    """Pinned: names, shortest numbers, measured register."""
    circuit = Circuit(
        2,
        [Gate("sdg", (1,)), Gate("rx", (0,), (Angle(offset=0.1 + 0.2),)), Gate("rzz", (1, 0), (Angle(offset=-1e-5),))],
    )
    assert measured(circuit).splitlines() == [
        "OPENQASM 3.0;",
        "bit[2] c;",
        "qubit[2] q;",
        "si q[1];",
        "rx(0.30000000000000004) q[0];",
        "zz(-1e-05) q[1], q[0];",
        "c = measure q;",
    ]
    assert set(NAMES) | CONTROLLED_ROTATIONS == UNITARY
    b = CircuitBuilder(1)
    with pytest.raises(ConfigurationError, match="free parameter"):
        statements(b.rx(0, b.weight("a")).build())
