"""Calibrations: their form, the noise made of them (closed forms, Qiskit, Aer's model of a backend), drift in words."""

import datetime as dt
import json
from functools import reduce

import numpy as np
import pytest
from attrs import evolve

from qimg_core.calibrated_noise import noise_from, noise_from_file
from qimg_core.calibration import SCHEMA, Calibration, GateFigures, WireFigures, drift
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.fidelity import depolarizing_of, relaxation_of
from qimg_core.job import Snapshot
from qimg_core.measurement import Probabilities
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, dephasing, depolarizing, parse_noise
from qimg_simulator.backend import SimulatorBackend

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]


def calibration(n=3, **changes):
    data = {
        "schema": SCHEMA,
        "updated_at": "2026-11-20T03:10:00+00:00",
        "wires": {
            str(w): {"t1_us": str(100 + 10 * w), "t2_us": str(80 + w), "readout": [f"0.0{w + 1}", f"0.0{w + 2}"]}
            for w in range(n)
        },
        "gates": {
            "cx": {f"{w},{w + 1}": {"error": f"0.00{w + 6}", "duration_ns": str(300 + w)} for w in range(n - 1)},
            "sx": {str(w): {"error": f"0.000{w + 3}", "duration_ns": "35"} for w in range(n)},
        },
        "a provider's own key": {"digest": "kept"},
    }
    return {**data, **changes}


def snapshot(data, device="fake"):
    return Snapshot(device=device, taken_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC), data=data)


def kraus_of(channel):
    if channel.pauli is not None:
        return [np.sqrt(p) * s for p, s in zip(channel.pauli, PAULIS, strict=True)]
    return [np.array(k, dtype=complex) for k in channel.kraus]


def infidelity(model, gate, wires):
    """1 - F_avg of all that follows one gate, from Kraus operators: F_avg = (d + sum |Tr K|**2) / (d**2 + d)."""
    kraus = [np.eye(2 ** len(wires))]
    for rule in model.rules:
        for wire in rule.targets(gate, wires):
            each = [reduce(np.kron, [k if w == wire else np.eye(2) for w in wires]) for k in kraus_of(rule.channel)]
            kraus = [a @ b for a in each for b in kraus]
    d = 2 ** len(wires)
    assert np.allclose(sum(k.conj().T @ k for k in kraus), np.eye(d))
    return 1 - (d + sum(abs(np.trace(k)) ** 2 for k in kraus)) / (d**2 + d)


# -- the form --------------------------------------------------------------------------------


def test_a_calibration_survives_json():
    found = Calibration.from_snapshot(snapshot(calibration()))
    assert found.device == "fake"
    assert found.wires[1] == WireFigures(110.0, 81.0, (0.02, 0.03))
    assert found.gates["cx"][1, 2] == GateFigures(0.007, 301.0)
    again = json.loads(json.dumps(found.to_json()))
    assert Calibration.from_json(again, device="fake") == found
    assert "a provider's own key" not in again
    averages = {
        "schema": SCHEMA,
        "average": {"wires": {"readout": ["0.01", "0.02"]}, "gates": {"2q": {"error": "0.01"}}},
    }
    assert Calibration.from_json(averages).to_json() == averages


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"wires": {}}, "schema"),
        ([1, 2], "schema"),
        (calibration(wires={"zero": {}}), "distinct qubits"),
        (calibration(wires={"0,1": {}}), "one qubit"),
        (calibration(wires={"0": {"t1_us": 100.0}}), "number as text"),
        (calibration(wires={"0": {"t1_us": "nan"}}), "number as text"),
        (calibration(wires={"0": {"t1_us": "0"}}), "greater than 0"),
        (calibration(wires={"0": {"t2_us": "-1"}}), "not negative"),
        (calibration(wires={"0": {"readout": ["0.1"]}}), r"p\(1\|0\)"),
        (calibration(wires={"0": {"readout": ["0.1", "1.5"]}}), "probability"),
        (calibration(wires=[]), "an object"),
        (calibration(gates={"cx": {"0,0": {}}}), "distinct qubits"),
        (calibration(gates={"cx": {"0,1": {"error": "2"}}}), r"gates.cx.0,1.error: wanted a probability"),
        (calibration(gates={"cx": {"0,1": "0.01"}}), "an object"),
        (calibration(gates={"cx": "0.01"}), "an object"),
        (calibration(average={"gates": {"1q": {"error": 0.1}}}), "average.gates.1q"),
    ],
)
def test_what_is_no_calibration_is_named(data, words):
    with pytest.raises(ConfigurationError, match=words):
        Calibration.from_json(data)


# -- formulas --------------------------------------------------------------------------------


@pytest.mark.parametrize("wires", [1, 2, 3])
@pytest.mark.parametrize("error", [0.0, 0.0003, 0.02, 0.3])
def test_depolarization_has_the_wanted_average_infidelity(wires, error):
    model = NoiseModel((NoiseRule(depolarizing(depolarizing_of(error, (3.0,) * wires))),))
    assert infidelity(model, "cx", tuple(range(wires))) == pytest.approx(error, abs=1e-13)


def test_depolarization_stays_between_nothing_and_everything():
    assert depolarizing_of(1.0) == depolarizing_of(0.5) == 1.0
    assert depolarizing_of(0.75, (3.0, 3.0)) == depolarizing_of(0.9, (3.0, 2.5)) == 1.0
    assert depolarizing_of(0.0, (2.9,)) == 0.0
    p = depolarizing_of(0.003)  # one qubit: e = p / 2
    assert p == pytest.approx(0.006, abs=1e-15)


@pytest.mark.parametrize(("t1", "t2"), [(100.0, 60.0), (50.0, 100.0), (70.0, 70.0)])
def test_relaxation_is_qiskits_thermal_relaxation(t1, t2):
    pytest.importorskip("qiskit_aer")
    from qiskit.quantum_info import Kraus, SuperOp
    from qiskit_aer.noise import thermal_relaxation_error

    channels, trace = relaxation_of(WireFigures(t1, t2), 1500.0)
    ours = SuperOp(np.eye(4))
    for channel in channels:
        ours = ours @ SuperOp(Kraus(kraus_of(channel)))
    theirs = SuperOp(thermal_relaxation_error(t1, t2, 1.5))
    np.testing.assert_allclose(ours.data, theirs.data, atol=1e-12)
    assert trace == pytest.approx(np.trace(theirs.data).real - 1, abs=1e-12)


def test_relaxation_without_t1_or_t2_and_beyond_its_limit():
    assert relaxation_of(WireFigures(), 100.0) == ((), 3.0)
    assert relaxation_of(WireFigures(100.0, 50.0), None) == ((), 3.0)
    gamma = 1 - np.exp(-0.3 / 100)
    for t2 in (None, 300.0):  # not given; above 2 T1
        (only,) = relaxation_of(WireFigures(100.0, t2), 300.0)[0]
        np.testing.assert_allclose(only.kraus, amplitude_damping(gamma).kraus, atol=1e-14)
    (only,) = relaxation_of(WireFigures(None, 100.0), 300.0)[0]
    assert only.pauli == pytest.approx(dephasing((1 - np.exp(-0.003)) / 2).pauli, abs=1e-15)


# -- noise of a calibration --------------------------------------------------------------------


def test_every_calibrated_gate_keeps_its_reported_error():
    """Depolarization and relaxation together, two wires with different T1 and T2: counted once."""
    found = Calibration.from_json(calibration())
    model, decisions = noise_from(found, gates={"cx", "sx", "rz"})
    for w in range(3):
        assert infidelity(model, "sx", (w,)) == pytest.approx(0.0003 + w / 10_000, abs=1e-12)
    for w in range(2):
        assert infidelity(model, "cx", (w, w + 1)) == pytest.approx(0.006 + w / 1000, abs=1e-12)
        assert infidelity(model, "cx", (w + 1, w)) == pytest.approx(0.006 + w / 1000, abs=1e-12)
    assert infidelity(model, "rz", (0,)) == 0
    assert infidelity(model, "cx", (0, 2)) == pytest.approx(0.0065, abs=1e-12)  # not coupled: the mean
    assert [r.channel.kraus for r in model.rules if r.wires == (0, 2)] == [()]  # as depolarization
    relaxing = [r for r in model.rules if r.on == (1,) and r.wires == (0, 1)]
    assert {r.channel for r in relaxing} == set(relaxation_of(found.wires[1], 300.0)[0])
    assert model.wire_readout == ((0, 0.01, 0.02), (1, 0.02, 0.03), (2, 0.03, 0.04))
    assert any("not coupled" in d and "0-2" in d for d in decisions)
    assert any("frame" in d and "rz" in d for d in decisions)
    assert model.origin[0] == "calibration of a device, measured 2026-11-20T03:10:00+00:00"
    assert set(decisions) < set(model.origin)


def test_a_layout_puts_wires_on_qubits():
    found = Calibration.from_json(calibration(5))
    model, _ = noise_from(found, {0: 3, 1: 2}, {"cx"})
    assert infidelity(model, "cx", (0, 1)) == pytest.approx(0.008, abs=1e-12)
    assert model.wire_readout == ((0, 0.04, 0.05), (1, 0.03, 0.04))
    assert {r.wires for r in model.rules} == {(0, 1)}
    for layout, words in (({0: 7}, "not among"), ({0: 1, 1: 1}, "distinct"), ({}, "distinct"), ({-1: 0}, "distinct")):
        with pytest.raises(ConfigurationError, match=words):
            noise_from(found, layout)
    with pytest.raises(ConfigurationError, match="needs a layout"):
        noise_from(Calibration.from_json(calibration(9) | {"wires": {str(w): {} for w in range(40)}}))
    with pytest.raises(ConfigurationError, match="gates of the IR"):
        noise_from(found, {0: 0}, {"hadamard"})


def test_other_gates_are_as_noisy_as_what_they_are_written_with():
    model, decisions = noise_from(Calibration.from_json(calibration()), gates={"h", "ry", "swap", "x", "cx", "ccx"})
    for gate, times in (("h", 1), ("x", 2), ("ry", 2)):  # rz sx rz; sx sx; sx rz sx rz
        assert infidelity(model, gate, (1,)) == pytest.approx(times * 0.0004, rel=1e-3)
    assert infidelity(model, "swap", (0, 1)) == pytest.approx((1 - (1 - 1.25 * 0.006) ** 3) / 1.25, abs=1e-12)
    assert infidelity(model, "ccx", (2, 0, 1)) == pytest.approx(6 * 0.0065 + 2 * 0.0004, rel=0.1)
    assert any("written with: ccx, h, ry, swap, x" in d for d in decisions)
    bare = calibration(gates={"sx": {"0": {"error": "0.001"}}})
    model, decisions = noise_from(Calibration.from_json(bare), gates={"cx", "sx"})
    assert any(d.startswith("NOT MODELLED") and "cx" in d for d in decisions)
    assert infidelity(model, "sx", (2,)) == pytest.approx(0.001, abs=1e-12)
    assert any("without figures: 1, 2" in d for d in decisions)


def test_averages_hold_for_every_wire():
    data = {
        "schema": SCHEMA,
        "average": {
            "wires": {"t1_us": "1e7", "t2_us": "1e6", "readout": ["0.003", "0.005"]},
            "gates": {"1q": {"error": "0.0003", "duration_ns": "1e5"}, "2q": {"error": "0.005", "duration_ns": "6e5"}},
        },
    }
    model, decisions = noise_from(Calibration.from_json(data), gates={"cz", "sx"})
    assert model.readout == (0.003, 0.005)
    assert {r.wires for r in model.rules} == {None}
    assert infidelity(model, "cz", (7, 30)) == pytest.approx(0.005, abs=1e-12)
    assert infidelity(model, "sx", (4,)) == pytest.approx(0.0003, abs=1e-12)
    assert not any("relaxation alone" in d for d in decisions)
    data["average"]["wires"]["t2_us"] = "100"  # as long as the gate
    model, decisions = noise_from(Calibration.from_json(data), gates={"sx"})
    assert infidelity(model, "sx", (4,)) == pytest.approx((1 - np.exp(-1)) / 3, rel=1e-4)
    assert any("relaxation alone is worse" in d and "sx" in d for d in decisions)


def test_broken_gates_and_gates_worse_than_relaxation_say_so():
    data = calibration(
        gates={"cx": {"0,1": {"error": "1"}, "1,2": {"error": "0.01"}}, "sx": {"0": {"duration_ns": "50"}}}
    )
    model, decisions = noise_from(Calibration.from_json(data), gates={"cx", "sx"})
    assert NoiseRule(depolarizing(1.0), {"cx"}, (0, 1)) in model.rules
    assert infidelity(model, "cx", (0, 2)) == pytest.approx(0.01, abs=1e-12)  # the broken one is not in the mean
    assert any("fully depolarizing: cx on 0-1" in d for d in decisions)
    assert any("only relaxation is modelled: sx on 0" in d for d in decisions)
    both = calibration(gates={"cx": {"0,1": {"error": "0.01"}, "1,0": {"error": "0.03"}}})
    model, decisions = noise_from(Calibration.from_json(both), {0: 0, 1: 1}, {"cx"})
    assert infidelity(model, "cx", (1, 0)) == pytest.approx(0.02, abs=1e-12)
    assert any("both directions" in d for d in decisions)
    long = calibration(wires={"0": {"t1_us": "10", "t2_us": "90"}}, gates={"sx": {"0": {"error": "0.01"}}})
    assert any("2 T1" in d for d in noise_from(Calibration.from_json(long), gates={"sx"})[1])


def test_the_command_line_reads_a_calibration_file(tmp_path):
    path = tmp_path / "device.json"
    path.write_text(json.dumps({"device": "fake", "data": calibration(5)}))
    found = Calibration.from_json(calibration(5), device="fake")
    assert parse_noise(f"calibration={path}") == noise_from(found)[0]
    model = parse_noise(f"calibration={path}@4/3, depolarizing=0.01")
    assert model.rules == (*noise_from(found, {0: 4, 1: 3})[0].rules, NoiseRule(depolarizing(0.01)))
    assert model.origin[0].startswith("calibration of fake")
    assert parse_noise(f"calibration={path}@4/3,readout=0.1").readout_of(0) == (0.1, 0.1)
    path.write_text(json.dumps(calibration(5)))
    assert noise_from_file(str(path)) == noise_from(found)[0]
    path.write_text("{")
    for text, words in (
        (f"{path}", "wanted JSON"),
        (f"{tmp_path}/none.json", "cannot be read"),
        (f"{tmp_path}", "read"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            parse_noise(f"calibration={text}")


def test_digests_of_models_without_wires_are_what_they_were():
    """Pinned before rules and read-out errors could belong to wires: old records stay valid."""
    old = NoiseModel((NoiseRule(depolarizing(0.013), ["cx"]), NoiseRule(amplitude_damping(0.02))), (0.01, 0.03))
    assert old.digest == "sha256:32e24fd391abe669e963dca33babddc0d9fb55e1802a97d5255d99ed97d480f3"
    assert NoiseModel().digest == "sha256:a4d44017cdbb9668962e520ed444a208bff0431cef1fc4d727678e4173c2d8e7"
    assert parse_noise("depolarizing=0.01,readout=0.02/0.05").digest == (
        "sha256:7a8fc363ee74cee3d67cc293430ef28b0113c9142c4216ba2f15ada3b13324eb"
    )


def test_models_with_wires_survive_json_and_have_their_own_digests():
    model, _ = noise_from(Calibration.from_json(calibration()), gates={"cx", "sx"})
    again = NoiseModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again == model
    assert again.digest == model.digest
    assert again.origin == model.origin
    assert NoiseModel(model.rules, None, model.wire_readout).digest == model.digest  # origin is no part of it
    rule = NoiseRule(depolarizing(0.1), {"cx"}, (0, 1), (1,))
    kinds = [NoiseRule(rule.channel, rule.gates), NoiseRule(rule.channel, rule.gates, (0, 1)), rule]
    digests = {NoiseModel((r,)).digest for r in kinds} | {NoiseModel((), None, ((0, 0.1, 0.1),)).digest}
    assert len(digests) == 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoiseRule(depolarizing(0.1), (), (0, 0)),
        lambda: NoiseRule(depolarizing(0.1), (), ()),
        lambda: NoiseRule(depolarizing(0.1), (), (-1,)),
        lambda: NoiseRule(depolarizing(0.1), (), (0, 1), (2,)),
        lambda: NoiseModel((), None, ((0, 0.1, 1.2),)),
        lambda: NoiseModel((), None, ((0, 0.1, 0.2), (0, 0.1, 0.2))),
    ],
)
def test_impossible_wires_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


# -- against Aer's own model of a backend -------------------------------------------------------


def of_backend(backend):
    """A calibration from the properties that Qiskit ships with a fake backend."""
    properties = backend.properties()
    wires = {}
    for q in range(len(properties.qubits)):
        seen = properties.qubit_property(q)
        wires[q] = WireFigures(
            seen["T1"][0] * 1e6, seen["T2"][0] * 1e6, (seen["prob_meas1_prep0"][0], seen["prob_meas0_prep1"][0])
        )
    gates = {}
    for gate in properties.gates:
        found = {p.name: p.value for p in gate.parameters}
        if gate.gate in ("cx", "cz", "sx", "x", "rz"):
            figures = GateFigures(found.get("gate_error"), found.get("gate_length"))
            gates.setdefault(gate.gate, {})[tuple(gate.qubits)] = figures
    return Calibration(device=backend.name, wires=wires, gates=gates)


def distance(p, q):
    return 0.5 * np.abs(p - q).sum()


@pytest.mark.parametrize("name", ["FakeManilaV2", "FakeLagosV2"])
def test_the_noisy_simulator_is_close_to_aers_model_of_a_backend(name):
    """Distributions of native circuits: total variation distance to Aer's model, and of that model to no noise."""
    pytest.importorskip("qiskit_aer")
    fake = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel as AerNoise

    backend = getattr(fake, name)()
    layout = {"FakeManilaV2": [0, 1, 2, 3], "FakeLagosV2": [4, 5, 3, 1]}[name]
    model, _ = noise_from(of_backend(backend), dict(enumerate(layout)), {"rz", "sx", "x", "cx"})
    aer = AerSimulator(method="density_matrix", noise_model=AerNoise.from_backend(backend), max_parallel_threads=1)
    rng = np.random.default_rng(0)
    ours_to_aer, aer_to_ideal = [], []
    for depth in (2, 4, 8):
        b, qc = CircuitBuilder(4), QuantumCircuit(max(layout) + 1)
        for _ in range(depth):
            for wire in range(4):
                angles = rng.uniform(-3, 3, 3)
                for i, angle in enumerate(angles):
                    b.rz(wire, angle)
                    qc.rz(angle, layout[wire])
                    if i < 2:
                        b.gate("sx", wire)
                        qc.sx(layout[wire])
            for control, target in ((0, 1), (1, 2), (2, 3)):
                b.cx(control, target)
                qc.cx(layout[control], layout[target])
        qc.save_probabilities(qubits=layout[::-1])
        exact = aer.run(qc).result().data()["probabilities"]
        properties = backend.properties()
        flips = [properties.qubit_property(q) for q in layout]
        confusion = reduce(
            np.kron,
            [
                np.array([[1 - f["prob_meas1_prep0"][0], f["prob_meas0_prep1"][0]],
                          [f["prob_meas1_prep0"][0], 1 - f["prob_meas0_prep1"][0]]])
                for f in flips
            ],
        )  # fmt: skip
        request = ExecutionRequest(
            circuit=b.build(), inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities((0, 1, 2, 3))
        )
        noisy = SimulatorBackend().run(evolve(request, noise=model)).data[0]
        ideal = SimulatorBackend().run(request).data[0]
        ours_to_aer.append(distance(noisy, confusion @ exact))
        aer_to_ideal.append(distance(ideal, confusion @ exact))
    for depth, near, far in zip((2, 4, 8), ours_to_aer, aer_to_ideal, strict=True):
        print(f"{name}, {depth} layers: distance to Aer {near:.5f}, of Aer to no noise {far:.5f}")
    assert max(ours_to_aer) < 0.003
    assert all(near < 0.04 * far for near, far in zip(ours_to_aer, aer_to_ideal, strict=True))


# -- drift -------------------------------------------------------------------------------------


def test_drift_names_the_largest_changes_first():
    before, after = calibration(), calibration()
    assert drift(snapshot(before), snapshot(after)) == ()
    after["updated_at"] = "2026-11-21T03:10:00+00:00"
    after["wires"]["0"]["t1_us"] = "100.0"  # the same number
    assert drift(snapshot(before), snapshot(after)) == ()
    after["wires"]["1"]["t2_us"] = "40.5"
    after["gates"]["cx"]["0,1"]["error"] = "0.018"
    after["wires"]["2"]["readout"] = ["0.03", "0.05"]
    assert drift(snapshot(before), snapshot(after)) == (
        "cx 0,1 error: 0.006 -> 0.018 (+200 %)",
        "wire 1 t2_us: 81 -> 40.5 (-50 %)",
        "wire 2 readout p(0|1): 0.04 -> 0.05 (+25 %)",
    )
    del after["gates"]["sx"]
    lines = drift(snapshot(before), snapshot(after))
    assert lines[0] == "sx 0 duration_ns: 35 -> not given"
    assert lines[-1] == "and 4 more figures"
    assert len(lines) == 6


def test_drift_never_raises_and_knows_only_calibrations():
    broken = {"schema": SCHEMA, "wires": {"0": ["?"]}, "gates": 3, "average": {"gates": {"1q": {"error": None}}}}
    other = {"schema": SCHEMA, "wires": {"0": {"t1_us": "soon", "readout": "x"}}, "average": {"wires": {"t1_us": "3"}}}
    assert drift(snapshot(broken), snapshot(other))
    assert drift(snapshot({"torch": "2.13"}), snapshot({"torch": "2.14"})) == ()
    assert drift(snapshot(calibration()), snapshot({"torch": "2.14"})) == ()
    a, b = ({"schema": SCHEMA, "average": {"gates": {"1q": {"error": e}}}} for e in ("0", "0.001"))
    assert drift(snapshot(a), snapshot(b)) == ("average gate 1q error: 0 -> 0.001",)
