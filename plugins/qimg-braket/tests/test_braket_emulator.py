"""``braket:emulator:FILE``: gates against the reference, noise against the vendor's own road and closed forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from qimg_braket.emulator import EmulatorBackend
from qimg_braket.layout import patch, route, undirected
from qimg_braket.native import Native, family_of, translate
from qimg_braket.testing import emulator_document
from qimg_core.calibration import Calibration
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate
from qimg_core.circuit.rewrite import rewrite
from qimg_core.errors import CapabilityError, ConfigurationError
from qimg_core.measurement import LocalStates, Probabilities, State
from qimg_core.routing import plan_for
from qimg_core.testing.reference import ReferenceBackend, statevector

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = {
    "prx cz": (["cz", "prx"], "CZ"),
    "rx rz cz": (["rx", "rz", "cz"], "CZ"),
    "rx rz iswap": (["rx", "rz", "iswap"], "ISWAP"),
    "rx rz cphaseshift": (["rx", "rz", "cphaseshift"], "CPHASESHIFT"),
    "gpi gpi2 zz": (["gpi", "gpi2", "zz"], "ZZ"),
    "gpi gpi2 ms": (["GPI", "GPI2", "MS"], "MS"),
    "prx rz xx": (["prx", "rz", "xx"], "XX"),
}


def saved(folder: Path, document: Any, name: str = "device.json") -> str:
    path = folder / name
    path.write_text(json.dumps(document))
    return str(path)


def with_gates(document: Any, native: list[str], two: str) -> Any:
    document["paradigm"]["nativeGateSet"] = [n.lower() for n in native]
    for found in document["standardized"]["twoQubitProperties"].values():
        found["twoQubitGateFidelity"][0]["gateName"] = two
    return document


@pytest.fixture
def perfect(tmp_path: Path) -> EmulatorBackend:
    return EmulatorBackend(saved(tmp_path, emulator_document(perfect=True)))


@pytest.mark.parametrize(("native", "two"), FAMILIES.values(), ids=FAMILIES)
def test_compiled_circuits_are_the_same_circuits(native: list[str], two: str, zoo: Any) -> None:
    """Native gates on a line of qubits, as matrices of the vendor, give the reference's distribution."""
    from braket.circuits.translations import BRAKET_GATES

    family = family_of(native)
    circuit, inputs, weights = zoo(3, rows=1, seed=11)
    from qimg_core.settings import bound

    plain = bound(circuit, circuit.values(inputs, weights)[0])
    graph = undirected({0: [1], 1: [2], 2: []})
    routed = route(rewrite(plain, family.claims).gates, 3, graph)
    native_gates = translate(rewrite(Circuit(3, routed.gates), family.claims).gates, family)
    assert {g.name for g in native_gates} <= {n.lower() for n in native}
    assert all(abs(g.qubits[0] - g.qubits[1]) == 1 for g in native_gates if len(g.qubits) == 2)
    psi = np.zeros((2, 2, 2), dtype=complex)
    psi[0, 0, 0] = 1
    for gate in native_gates:
        k = len(gate.qubits)
        u = BRAKET_GATES[gate.name](*gate.angles).to_matrix()
        moved = np.moveaxis(psi, gate.qubits, range(k)).reshape(2**k, -1)
        psi = np.moveaxis((u @ moved).reshape((2,) * 3), range(k), gate.qubits)
    found = np.moveaxis(np.abs(psi) ** 2, routed.places, range(3)).reshape(-1)
    np.testing.assert_allclose(found, np.abs(statevector(plain, np.zeros(0))) ** 2, atol=1e-10)


def test_a_perfect_device_gives_the_reference_numbers(perfect: EmulatorBackend, zoo: Any, asked: Any) -> None:
    """Through plan and lowering, on couplings 1-2, 2-3, 2-4, 4-5: swaps and reordered wires."""
    for measurement in (Probabilities((3, 0, 1)), LocalStates([(2, 0), (3, 1)])):
        request = asked(zoo(4, rows=1, seed=12), measurement)
        plan = plan_for(perfect, request)
        assert any("ccx written" in d for d in plan.decisions)
        found = perfect.run(plan.lowered).data
        np.testing.assert_allclose(found, ReferenceBackend().run(request).data, atol=1e-9)


def test_noise_is_the_vendors_own(tmp_path: Path) -> None:
    """Every number of a noisy circuit equals what `LocalEmulator` and `braket_dm` give on their own road."""
    from braket.circuits import Circuit as BraketCircuit
    from braket.circuits.measure import Measure
    from braket.devices import LocalSimulator
    from braket.emulation.local_emulator import LocalEmulator
    from braket.emulation.passes.circuit_passes import RemoveVerbatimTransformation

    document = emulator_document()
    backend = EmulatorBackend(saved(tmp_path, document))
    circuit = CircuitBuilder(3).rx(0, 0.3).cz(0, 2).gate("ry", 1, angles=(0.7,)).cz(1, 2).rx(2, 1.1).build()
    compiled = backend.compiled(circuit)
    noisy = LocalEmulator.from_json(json.dumps(document)).transform(BraketCircuit.from_ir(compiled.text()))
    plain = RemoveVerbatimTransformation().run(noisy)
    plain = BraketCircuit([i for i in plain.instructions if not isinstance(i.operator, Measure)]).probability()
    p = np.asarray(LocalSimulator("braket_dm").run(plain, shots=0).result().values[0]).reshape(2, 2, 2)
    order = sorted(int(q) for q in plain.qubits)
    wanted = np.moveaxis(p, [order.index(q) for q in compiled.places], range(3)).reshape(-1)
    request = _fixed(circuit, Probabilities((0, 1, 2)))
    found = backend.run(request).data[0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    ideal = np.abs(statevector(circuit, np.zeros(0))) ** 2
    assert np.abs(found - ideal).sum() / 2 > 0.02


def test_one_gate_has_the_published_fidelity(tmp_path: Path) -> None:
    """RX(pi): depolarizing of 3/2 (1 - F), then a bit flip of 1 - F_readout, in closed form."""
    document = emulator_document()
    for found in document["standardized"]["oneQubitProperties"].values():
        found["oneQubitFidelity"][0]["fidelity"], found["oneQubitFidelity"][1]["fidelity"] = 0.98, 0.95
    backend = EmulatorBackend(saved(tmp_path, document))
    p, flip = 1.5 * 0.02, 0.05
    one = 1 - 2 * p / 3  # X and Y of the three equally likely errors undo the flip of |0>
    wanted = one * (1 - flip) + (1 - one) * flip
    found = backend.run(_fixed(CircuitBuilder(1).rx(0, np.pi).build(), Probabilities((0,)))).data[0]
    assert found[1] == pytest.approx(wanted, abs=1e-12)


def test_shots_and_record(perfect: EmulatorBackend, zoo: Any, asked: Any) -> None:
    gates = perfect.capabilities.gates
    request = asked(zoo(2, rows=1, gates=gates, seed=13), Probabilities((1, 0)), shots=5000, seed=3)
    one, two = perfect.run(request), perfect.run(request)
    assert (one.data == two.data).all()
    assert one.sampling == "client"
    exact = ReferenceBackend().run(asked(zoo(2, rows=1, gates=gates, seed=13), Probabilities((1, 0)))).data
    assert np.abs(one.data - exact).max() < 0.04
    footprint = perfect.footprint(request)
    assert footprint is not None
    assert footprint.basis == "verbatim in prx and cz, emulated"
    assert footprint.digest is not None
    assert footprint.two_qubit_gates == 1  # the one CZ of the circuit, on neighbours
    assert plan_for(perfect, request).footprint == footprint


def test_the_text_is_a_verbatim_box(perfect: EmulatorBackend) -> None:
    circuit = Circuit(
        2, [Gate("rx", (0,), (Angle(offset=0.5),)), Gate("rz", (0,), (Angle(offset=0.25),)), Gate("cz", (0, 1))]
    )
    lines = perfect.compiled(circuit).text().splitlines()
    assert lines[2:4] == ["#pragma braket verbatim", "box {"]
    qubits = {token for line in lines for token in line.replace(";", "").replace(",", "").split() if token[0] == "$"}
    assert len(qubits) == 2
    assert not any(line.strip().startswith("rz") for line in lines)  # virtual
    assert lines[-2].startswith("c[0] = measure $")


def test_virtual_z_turns_the_axes_that_follow() -> None:
    """RX(a) RZ(f) = RZ(f) R(axis -f, a): pinned angles."""
    family = family_of(["prx", "cz"])
    gates = [Gate("rz", (0,), (Angle(offset=0.4),)), Gate("ry", (0,), (Angle(offset=1.0),))]
    assert translate(gates, family) == [Native("prx", (0,), (1.0, np.pi / 2 - 0.4))]


def test_what_cannot_be_emulated_is_refused(perfect: EmulatorBackend, tmp_path: Path, zoo: Any, asked: Any) -> None:
    with pytest.raises(CapabilityError, match="measurement"):
        perfect.run(asked(zoo(2, rows=1, gates=perfect.capabilities.gates), State()))
    document = with_gates(emulator_document(), ["ecr", "rz"], "ECR")
    with pytest.raises(ConfigurationError, match=r"native gates ecr, rz|native gates rz"):
        EmulatorBackend(saved(tmp_path, document, "ecr.json"))
    for text in ("{}", "no json"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ConfigurationError, match="cannot be emulated"):
            EmulatorBackend(str(tmp_path / "bad.json"))
    with pytest.raises(ConfigurationError, match="no such patch"):
        patch(undirected({0: [1], 2: [3]}), 3)


def test_snapshot_is_a_calibration(perfect: EmulatorBackend, tmp_path: Path) -> None:
    noisy = EmulatorBackend(saved(tmp_path, emulator_document(), "noisy.json"))
    found = Calibration.from_snapshot(noisy.snapshot())
    assert found.wires[2].readout == (0.03, 0.03)
    assert found.wires[2].t1_us == pytest.approx(33)
    assert found.gates["cz"][2, 4].error == 0.01
    assert found.gates["1q"][(1,)].error == 0.001
    assert noisy.snapshot().digest == noisy.snapshot().digest != perfect.snapshot().digest


def _fixed(circuit: Circuit, measurement: Any) -> Any:
    from qimg_core.execution import ExecutionRequest

    return ExecutionRequest(circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=measurement)
