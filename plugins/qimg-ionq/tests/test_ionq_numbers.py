"""Numbers of the ideal simulator against the reference device; orders, widths, settings, chunks, both result forms."""

import numpy as np
import pytest
from attrs import evolve

from qimg_core import CircuitBuilder, Expectation, LocalStates, Probabilities, Samples, Session, pauli
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName
from qimg_core.errors import CapabilityError, UnknownName
from qimg_core.routing import plan_for
from qimg_core.settings import settings_for
from qimg_ionq.circuits import MAX_BODY, NAMES, input_text, job_input, rows_that_fit
from qimg_ionq.devices import Device
from qimg_ionq.testing import FakeIonQ

from .conftest import QUIET, driver_of, intent_of, reference, request, through, zoo


@pytest.fixture
def driver(fake):
    with driver_of(fake) as found:
        yield found


MEASUREMENTS = [
    Probabilities((2, 0, 1)),
    Probabilities((1,)),
    Expectation([pauli("Z0", 0.5), pauli("X2 Y0"), pauli("Y1 Z2", -1.5), pauli("")]),
    LocalStates([(0, 1), (2, 0), (1,)]),
]


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: m.kind.value)
@pytest.mark.parametrize("rows", [1, 3])
def test_exact_numbers_of_a_zoo_of_gates(driver, measurement, rows):
    asked = request(zoo(3), measurement, rows)
    _, raw = through(driver, asked)
    np.testing.assert_allclose(raw.data, reference(asked), atol=1e-9)
    assert (raw.shots, raw.sampling) == (None, "none")


def test_five_wires_in_an_order_that_is_no_reversal_and_no_involution(driver):
    asked = request(zoo(5), Probabilities((3, 0, 1, 4)))
    _, raw = through(driver, asked)
    np.testing.assert_allclose(raw.data, reference(asked), atol=1e-9)
    for wrong in ((4, 1, 0, 3), (1, 2, 0, 3), (0, 1, 3, 4)):
        assert abs(raw.data - reference(request(zoo(5), Probabilities(wrong)))).max() > 0.01


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_every_gate_is_what_its_matrix_says(driver, name):
    k = name.n_wires
    b = CircuitBuilder(4)
    places = (2, 0, 3)[:k]
    for w in range(4):
        b.ry(w, 0.4 + 0.3 * w).rz(w, 0.9 - 0.2 * w)
    b.gate(name, *places, angles=(b.input("x"),) if name in PARAMETRIC else ())
    terms = [pauli(f"{p}{w}") for w in range(4) for p in "XYZ"] + [pauli("X2 Y0"), pauli("Z0 Z3"), pauli("Y3 X2")]
    asked = request(b.build(), Expectation(terms))
    _, raw = through(driver, asked)
    np.testing.assert_allclose(raw.data, reference(asked), atol=1e-9)


def test_the_gates_of_ionq_are_sent_as_they_are(fake, driver):
    b = CircuitBuilder(2)
    for name in sorted(NAMES):
        b.gate(name, *range(name.n_wires), angles=(0.25,) if name in PARAMETRIC else ())
    through(driver, request(b.build(), Probabilities((0, 1)), rows=1))
    (job,) = fake.jobs.values()
    sent = [g["gate"] for g in job["input"]["circuit"]]
    assert sent == [NAMES[name] for name in sorted(NAMES)]
    assert {g["gate"]: g.get("rotation") for g in job["input"]["circuit"]}["zz"] == 0.25
    assert job["input"]["circuit"][sent.index("cnot")] == {"gate": "cnot", "control": 0, "target": 1}
    assert GateName.CZ not in NAMES


@pytest.mark.parametrize("wire", range(4))
def test_one_x_on_each_wire_and_idle_wires_are_kept(fake, driver, wire):
    b = CircuitBuilder(4).x(wire)
    asked = request(b.build(), Probabilities((0, 1, 2, 3)), rows=1)
    _, raw = through(driver, asked)
    assert raw.data.argmax() == 8 >> wire
    assert next(iter(fake.jobs.values()))["input"]["qubits"] == 4


def test_one_circuit_and_several_say_the_same(fake, driver):
    whole = request(zoo(3), Probabilities((2, 0, 1)), rows=3)
    _, together = through(driver, whole)
    for row in range(3):
        _, alone = through(driver, evolve(whole, inputs=whole.inputs[row : row + 1]), intent_of(whole, ordinal=row + 1))
        np.testing.assert_array_equal(alone.data[0], together.data[row])
    assert [j["type"] for j in fake.jobs.values()] == ["ionq.multi-circuit.v1"] + ["ionq.circuit.v1"] * 3


@pytest.mark.parametrize("style", ["old", "new"])
@pytest.mark.parametrize("order", ["ours", "mixed"])
def test_both_forms_of_results_and_another_order_of_circuits(style, order):
    asked = request(zoo(3), LocalStates([(0, 1), (1, 2)]), rows=2)
    with FakeIonQ(style=style, order=order) as fake, driver_of(fake) as driver:
        _, raw = through(driver, asked)
        np.testing.assert_allclose(raw.data, reference(asked), atol=1e-9)
        one = request(zoo(3), Probabilities((1, 2)), rows=1)
        np.testing.assert_allclose(through(driver, one)[1].data, reference(one), atol=1e-9)
        assert len(fake.jobs) == 2


def test_rows_by_the_limits_of_a_job(monkeypatch, fake, registry, at_fake):
    monkeypatch.setattr("qimg_ionq.circuits.MAX_CIRCUITS", 20)
    asked = request(zoo(3), LocalStates([(0, 1), (1, 2)]), rows=5)  # nine settings: two rows a job
    with Session(None, backend="ionq", seed=1, registry=registry, polling=QUIET) as session:
        result = session.execute(asked)
    np.testing.assert_allclose(result.data, reference(asked), atol=1e-9)
    assert [len(j["input"]["circuits"]) for j in fake.jobs.values()] == [18, 18, 9]
    assert "5 rows in 3 jobs of at most 2" in result.record.decisions


def test_rows_by_gates_and_by_bytes():
    plain = CircuitBuilder(1).x(0).build()
    settings = settings_for(Probabilities((0,)))
    assert rows_that_fit("ionq", plain, settings) == 5_000
    gates = CircuitBuilder(1)
    for _ in range(400):
        gates.x(0)
    assert rows_that_fit("ionq", gates.build(), settings) == 150_000 // 400
    turned = CircuitBuilder(36)
    for k in range(1000):
        turned.gate("rzz", 35, k % 30, angles=(-1.2345678901234567e-16,))
    fit = rows_that_fit("ionq", turned.build(), settings)
    body = len(input_text(job_input([turned.build()] * fit)[1]))
    assert fit < 150
    assert 0.9 * MAX_BODY < body < MAX_BODY
    many = CircuitBuilder(3)
    for _ in range(3000):
        many.x(0)
    with pytest.raises(CapabilityError, match="gates of one row"):
        rows_that_fit("ionq", many.build(), settings * 60)


def test_samples_and_frequencies_are_drawn_here_from_exact_numbers(driver):
    circuit = zoo(3)
    asked = request(circuit, Samples((2, 0)), rows=2, shots=4001, seed=5)
    handle, raw = through(driver, asked)
    assert (raw.data.shape, raw.data.dtype, raw.shots, raw.sampling) == ((2, 4001, 2), np.uint8, 4001, "client")
    p = reference(request(circuit, Probabilities((2, 0)), rows=2))
    seen = np.stack([np.bincount(2 * r[:, 0] + r[:, 1], minlength=4) for r in raw.data.astype(int)])
    sigma = np.sqrt(p * (1 - p) * 4001)
    assert (abs(seen - 4001 * p) < 5 * sigma + 1).all()
    again = driver.fetch(handle)
    np.testing.assert_array_equal(again.data, raw.data)
    _, other = through(driver, request(circuit, Samples((2, 0)), rows=2, shots=4001, seed=6))
    assert (other.data != raw.data).any()
    frequencies = through(driver, request(circuit, Probabilities((2, 0)), rows=2, shots=4001, seed=5))[1]
    np.testing.assert_allclose(frequencies.data * 4001, seen, atol=1e-9)


def test_without_a_seed_the_draw_is_still_the_same_each_time(driver):
    handle, raw = through(driver, request(zoo(3), Probabilities((0, 1, 2)), shots=50))
    assert isinstance(handle.extra["seed"], str)  # as text, for it may pass 2**53
    np.testing.assert_array_equal(driver.fetch(handle).data, raw.data)
    asked = request(zoo(3), Probabilities((0, 1, 2)), shots=50)
    other, _ = through(driver, asked, intent_of(asked, ordinal=1))
    assert other.extra["seed"] != handle.extra["seed"]


@pytest.mark.parametrize("device", ["simulator:aria-1", "qpu.forte-1", "qpu.forte-1:debiasing"])
def test_devices_that_count(fake, device):
    with driver_of(fake, device) as driver:
        asked = request(zoo(3), Probabilities((2, 0, 1)), rows=2, shots=20_011, seed=4)
        handle, raw = through(driver, asked)
        np.testing.assert_array_equal(driver.fetch(handle).data, raw.data)
    exact = 0.98 * reference(asked) + 0.02 / 8  # what the fake does to every circuit
    sigma = np.sqrt(exact * (1 - exact) / 20_011)
    assert (abs(raw.data - exact) < 5 * sigma).all()
    assert (raw.shots, raw.sampling) == (20_011, "native")
    (job,) = fake.jobs.values()
    assert job["shots"] == 20_011
    if device.startswith("qpu"):
        assert job["settings"] == {"error_mitigation": {"debiasing": device.endswith("debiasing")}}
        assert raw.provider["debiasing"] is device.endswith("debiasing")
        assert raw.qpu_seconds == "0.0052"
        assert "noise" not in job
    else:
        assert job["noise"] == {"model": "aria-1", "seed": 4}
        assert "settings" not in job


def test_samples_without_shots_are_refused(driver):
    with pytest.raises(CapabilityError, match="samples without a number of shots"):
        through(driver, request(zoo(3), Samples((0,))))


def test_debiasing_needs_five_hundred_shots_and_leaves_no_samples(fake):
    with driver_of(fake, "qpu.forte-1:debiasing") as driver:
        with pytest.raises(CapabilityError, match="500"):
            plan_for(driver, request(zoo(3), Probabilities((0,)), shots=499))
        with pytest.raises(CapabilityError, match="samples"):
            plan_for(driver, request(zoo(3), Samples((0,)), shots=500))


def test_names_of_devices():
    assert Device.parse("").name == "ionq"
    assert (Device.parse("simulator").target, Device.parse("simulator").noise) == ("simulator", "ideal")
    assert Device.parse("simulator:harmony").wires == 11
    assert Device.parse("simulator:forte-1").wires == 29
    assert Device.parse("qpu.forte-1").wires == 36
    assert Device.parse("qpu.next-1").wires is None
    for wrong in ("qpu", "simulator:", "forte-1", "qpu.forte-1:sharpen", "simulator:a:b", "qpu.../jobs", "Simulator"):
        with pytest.raises(UnknownName, match="simulator:MODEL"):
            Device.parse(wrong)


def test_a_machine_that_is_not_known_here_is_asked_for_its_qubits(fake):
    with driver_of(fake, "qpu.next-1") as driver:
        assert driver.capabilities.max_wires == 5
        assert driver.capabilities.max_wires == 5
    assert [s.path for s in fake.seen] == ["/v0.4/backends/qpu.next-1"]
    with driver_of(fake, "qpu.nowhere") as driver, pytest.raises(UnknownName, match=r"qpu\.nowhere"):
        _ = driver.capabilities
