"""``ibm:fake_...``: a device's own noise, on the qubits in use, the same for every setting and every time."""

import numpy as np
import pytest
from attrs import evolve

from qimg_core.calibration import Calibration
from qimg_core.circuit import CircuitBuilder
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import CapabilityError, UnknownName
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities
from qimg_core.session import Session
from qimg_core.settings import Setting
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.statistics import explained_by, multinomial_test
from qimg_ibm.calibration import calibration_of
from qimg_ibm.devices import open_device
from qimg_ibm.isa import Compiler
from qimg_ibm.offline import NoisyDevice, documents, known_devices, open_snapshot, part_of, restricted


@pytest.fixture(scope="module")
def manila():
    return open_device("fake_manila")


def asked(measurement, rows=2, shots=4000, seed=3):
    """Five wires, every angle another, one gate between wires that are no neighbours."""
    b = CircuitBuilder(5)
    for wire in range(5):
        b.ry(wire, b.input(f"x{wire}")).rz(wire, b.weight(f"w{wire}") * 2 + 0.3)
    b.cx(0, 1).cz(1, 3).gate("crx", 4, 2, angles=(b.weight("c"),)).gate("rzz", 0, 3, angles=(b.weight("d"),)).rx(3, 0.4)
    circuit, rng = b.build(), np.random.default_rng(1)
    return ExecutionRequest(
        circuit=circuit,
        inputs=rng.normal(size=(rows, circuit.n_inputs)),
        weights=rng.normal(size=circuit.n_weights),
        measurement=measurement,
        shots=shots,
        seed=seed,
    )


def test_read_out_errors_are_the_calibrated_pair_of_the_qubit(manila):
    shots = 100_000
    nothing = ExecutionRequest(
        circuit=CircuitBuilder(1).build(),
        inputs=np.zeros((1, 0)),
        weights=np.zeros(0),
        measurement=Probabilities((0,)),
        shots=shots,
        seed=1,
    )
    result = manila.run(nothing)
    ((qubit,),) = result.provider["layout"]
    p10, p01 = (float(p) for p in manila.snapshot().data["wires"][str(qubit)]["readout"])
    assert p01 > 1.5 * p10 > 0.01, "the two errors differ, so the test tells them apart"
    assert abs(result.data[0, 1] - p10) < 4 * np.sqrt(p10 / shots)
    one = manila.run(evolve(nothing, circuit=CircuitBuilder(1).x(0).build()))
    assert abs(one.data[0, 0] - p01) < 4 * np.sqrt(p01 / shots) + 1e-3  # the gate's own error is below 1e-3


@pytest.mark.parametrize("order", [(2, 0, 1), (3, 0, 1, 4)])
def test_the_order_of_wires_is_ours(manila, order):
    wanted = asked(Probabilities(order), rows=1)
    counts = np.rint(manila.run(wanted).data[0] * 4000).astype(int)
    exact = ReferenceBackend().run(evolve(wanted, shots=None)).data[0]
    shape = (2,) * len(order)
    others = [np.transpose(exact.reshape(shape), p).reshape(-1) for p in (range(len(order)), np.argsort(order), None)]
    right, *wrong = explained_by(counts, np.stack(others))
    assert right - max(wrong) > 14, "another order of the wires explains the counts as well"


def test_the_noise_is_that_of_the_whole_device():
    """Against Aer at full width with its model of all qubits: leaving the idle ones out changes nothing."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    wanted = asked(Probabilities((2, 0, 1)), rows=1)
    device = NoisyDevice(part_of(open_snapshot("fake_guadalupe").target).target, {})
    backend = part_of(device.target)
    isa = Compiler(backend, "x").one(wanted.circuit, Setting([(w, "Z") for w in (2, 0, 1)]))
    values = isa.values(wanted.circuit.values(wanted.inputs, wanted.weights))[0]
    assert isa.qubits != tuple(range(len(isa.qubits))), "else renumbering is not tested"

    def exact(circuit, model, measured):
        bound = circuit.assign_parameters(dict(zip(circuit.parameters, values, strict=True)))
        bound.remove_final_measurements()
        bound.save_probabilities(measured)
        return AerSimulator(method="density_matrix", noise_model=model).run(bound).result().data(0)["probabilities"]

    whole = exact(isa.circuit, NoiseModel.from_backend(backend, readout_error=False), list(isa.layout))
    places = [isa.qubits.index(q) for q in isa.layout]
    part = exact(restricted(isa.circuit, isa.qubits), device._model(isa.qubits), places)
    clean = exact(isa.circuit, None, list(isa.layout))
    assert np.abs(whole - part).max() < 1e-12
    assert np.abs(whole - clean).max() > 1e-3


def test_the_noise_is_seen_in_the_counts(manila):
    wanted = asked(Probabilities((3, 0, 1, 4)), rows=1, shots=20_000)
    counts = np.rint(manila.run(wanted).data * 20_000).astype(int)
    clean = ReferenceBackend().run(evolve(wanted, shots=None)).data
    assert multinomial_test(counts, clean, seed=1).p_value < 1e-3
    assert 0.5 * np.abs(counts / 20_000 - clean).sum() < 0.2


def test_restricted_circuits_keep_their_classical_bits():
    backend = open_snapshot("fake_guadalupe")
    wanted = asked(Probabilities((2, 0, 1)))
    isa = Compiler(part_of(backend.target), "x").one(wanted.circuit, Setting([(w, "Z") for w in (2, 0, 1)]))
    small = restricted(isa.circuit, isa.qubits)
    measured = [
        (isa.qubits[small.find_bit(i.qubits[0]).index], small.find_bit(i.clbits[0]).index) for i in small.data[-3:]
    ]
    assert small.num_qubits == len(isa.qubits) == 5 < isa.circuit.num_qubits == 16
    assert sorted(measured, key=lambda m: m[1]) == [(q, j) for j, q in enumerate(isa.layout)]


def test_all_settings_and_all_measurements_see_the_same_qubits(manila):
    local = manila.run(asked(LocalStates([(0, 1)]), shots=50)).provider["layout"]
    three = manila.run(asked(Probabilities((0, 1)), shots=50)).provider["layout"]
    assert len(local) == 9
    assert {tuple(q) for q in local} == {tuple(three[0])}


def test_expectation_values_are_near_the_exact_ones(manila):
    terms = [PauliString(((0, "X"), (1, "Y"))), PauliString(((3, "Z"),), -2.0), PauliString(((2, "Z"), (4, "Z")))]
    wanted = asked(Expectation(terms))
    exact = ReferenceBackend().run(evolve(wanted, shots=None)).data
    assert np.abs((manila.run(wanted).data - exact) / [1, 2, 1]).max() < 0.25


def test_the_same_seed_gives_the_same_result_in_another_driver(manila):
    wanted = asked(Probabilities((0, 1, 2)), shots=300)
    first, again = manila.run(wanted), open_device("fake_manila").run(wanted)
    assert (first.data == again.data).all()
    assert (first.raw_digest, first.lowered_digest) == (again.raw_digest, again.lowered_digest)
    assert first.raw_digest != manila.run(evolve(wanted, seed=4)).raw_digest


def test_footprint_is_that_of_the_transpiled_circuit(manila):
    wanted = asked(Probabilities((0, 1, 2)))
    found = manila.footprint(wanted)
    assert found.wires == 5
    assert found.two_qubit_gates > 5, "wires 0 and 3, 1 and 3 are no neighbours on a line"
    assert found.basis == "transpiled for fake_manila, level 1, seed 7"
    assert found.digest == manila.run(evolve(wanted, shots=10)).lowered_digest
    assert 5 < float(found.duration_us) < 50
    other_numbers = evolve(wanted, weights=wanted.weights * 2)
    assert manila.footprint(other_numbers) == found


def test_through_a_session(manila):
    with Session(None, backend=manila) as session:
        result = session.execute(asked(Probabilities((0, 1)), shots=100))
    assert result.record.device_kind == "simulator"
    assert result.record.ran_backend == "ibm:fake_manila"


def test_calibration_in_words_and_units():
    configuration, properties = documents(open_snapshot("fake_manila"))
    found = calibration_of(properties)
    first = {i["name"]: i["value"] for i in properties["qubits"][0]}
    assert configuration["n_qubits"] == len(found["wires"]) == 5
    assert float(found["wires"]["0"]["t1_us"]) == pytest.approx(first["T1"])
    assert found["wires"]["0"]["readout"] == [repr(first["prob_meas1_prep0"]), repr(first["prob_meas0_prep1"])]
    cx = next(g for g in properties["gates"] if g["gate"] == "cx" and g["qubits"] == [1, 2])
    wanted = {p["name"]: p["value"] for p in cx["parameters"]}
    assert float(found["gates"]["cx"]["1,2"]["error"]) == wanted["gate_error"]
    assert float(found["gates"]["cx"]["1,2"]["duration_ns"]) == pytest.approx(wanted["gate_length"])
    assert found["updated_at"] == properties["last_update_date"]
    read = Calibration.from_json(found)
    assert read.to_json()["gates"] == found["gates"], "the core reads it"
    assert read.wires[0].t2_us == pytest.approx(first["T2"])


def test_units_other_than_microseconds_and_missing_read_out():
    document = {
        "last_update_date": "2026-01-01",
        "qubits": [
            [{"name": "T1", "unit": "s", "value": 0.0002}, {"name": "readout_error", "unit": "", "value": 0.03}],
            [{"name": "T1", "unit": "us", "value": 0}, {"name": "T2", "unit": "us", "value": float("nan")}],
        ],
        "gates": [{"gate": "sx", "qubits": [0], "parameters": [{"name": "gate_length", "unit": "us", "value": 0.05}]}],
    }
    found = calibration_of(document)
    assert found["wires"]["0"] == {"t1_us": "200.0", "readout": ["0.03", "0.03"]}
    assert found["wires"]["1"] == {}
    assert found["gates"] == {"sx": {"0": {"duration_ns": "50.0"}}}


def test_what_a_device_cannot_do_is_refused(manila):
    with pytest.raises(CapabilityError, match="wires"):
        manila.run(
            evolve(
                asked(Probabilities((0,))),
                circuit=CircuitBuilder(6).build(),
                inputs=np.zeros((1, 0)),
                weights=np.zeros(0),
            )
        )
    with pytest.raises(CapabilityError, match="exact numbers"):
        manila.run(asked(Probabilities((0,)), shots=None))
    with pytest.raises(UnknownName, match="fake_guadalupe"):
        open_device("fake_guadelupe")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fake_guadalupe", "fake_mumbai", "fake_sherbrooke", "fake_fez"])
def test_large_devices_are_as_fast_as_small_ones_and_as_right(name):
    wanted = asked(Probabilities((3, 0, 1, 4)), rows=4)
    exact = ReferenceBackend().run(evolve(wanted, shots=None)).data
    assert np.abs(open_device(name).run(wanted).data - exact).max() < 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk")
def test_the_core_reads_every_calibration_that_the_sdk_ships():
    sizes = {}
    for name in known_devices():
        backend = open_snapshot(name)
        if backend.props_filename:
            sizes[name] = len(Calibration.from_json(calibration_of(documents(backend)[1])).wires) - backend.num_qubits
    assert len(sizes) > 60
    assert set(sizes.values()) == {0}


@pytest.mark.slow
def test_shot_by_shot_agrees_with_the_density_matrix(monkeypatch):
    wanted = asked(Probabilities((0, 1, 2)), rows=1)
    device = NoisyDevice(part_of(open_snapshot("fake_manila").target).target, {0: (0.1, 0.2)})
    isa = Compiler(part_of(device.target), "x").one(wanted.circuit, Setting([(w, "Z") for w in (0, 1, 2)]))
    values = isa.values(wanted.circuit.values(wanted.inputs, wanted.weights))
    tables = []
    for bound in (10, 0):
        monkeypatch.setattr("qimg_ibm.offline.DENSE_QUBITS", bound)
        counts = device.run(isa.circuit, isa.qubits, values, shots=4000, seed=1)[0]
        tables.append(np.array([counts.get(hex(k), 0) for k in range(8)]) / 4000)
    assert np.abs(tables[0] - tables[1]).max() < 0.04


def test_settings_that_share_a_body_count_what_they_would_count_alone():
    from qimg_core.settings import settings_for
    from qimg_ibm.offline import of_rows
    from qimg_ibm.shared import divided, of_settings

    target = open_snapshot("fake_manila").target
    device = NoisyDevice(part_of(target).target, {0: (0.1, 0.2), 3: (0.02, 0.3)})
    request = asked(LocalStates([(0, 1), (1, 3), (4, 2)]), rows=3, shots=500)
    compiler = Compiler(part_of(target), "fake_manila")
    made = [compiler.one(request.circuit, s) for s in settings_for(request.measurement)]
    body, tail = divided(restricted(made[0].circuit, made[0].qubits))
    assert len(body.data) > len(tail.data) > 5
    assert all(len(item.qubits) == 1 for item in tail.data)
    values, seeds = request.circuit.values(request.inputs, request.weights), list(range(len(made)))
    together = of_settings(made, device, values, shots=500, seeds=seeds)
    alone = [of_rows(i, device, values, shots=500, seed=s) for i, s in zip(made, seeds, strict=True)]
    assert together == alone
    assert len({str(t) for t in together}) == len(made)
