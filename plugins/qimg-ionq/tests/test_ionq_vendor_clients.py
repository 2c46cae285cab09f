"""IonQ's clients by other hands, against the fake: it is understood by them, and what they do when an answer is lost.

Runs for those that are installed: ionq-core, qiskit-ionq, cirq-ionq. They are no dependencies. The numbers of jobs
after a lost answer are what was seen in ionq-core 0.2.0, cirq-ionq 1.7.0 and qiskit-ionq 1.1.1.
"""

import numpy as np
import pytest

from qimg_core import CircuitBuilder, Probabilities
from qimg_core.testing.faults import Fault, Point
from qimg_ionq.testing import FakeIonQ

from .conftest import driver_of, intent_of, request, through

pytestmark = pytest.mark.filterwarnings("ignore")

ASKED = request(CircuitBuilder(3).x(0).ry(1, 0.7).cx(0, 2).build(), Probabilities((0, 1, 2)), rows=1)
GATES = [
    {"gate": "x", "target": 0},
    {"gate": "ry", "target": 1, "rotation": 0.7},
    {"gate": "cnot", "control": 0, "target": 2},
]


def ours(fake):
    return through(driver_of(fake), ASKED)[1].data[0]


def ionq_core(fake):
    core = pytest.importorskip("ionq_core")
    from ionq_core.api.default import create_job, get_job_probabilities
    from ionq_core.models import CircuitJobCreationPayload

    client = core.IonQClient(api_key=fake.key, base_url=fake.base)
    content = {"qubits": 3, "gateset": "qis", "circuit": GATES}
    payload = {"type": "ionq.circuit.v1", "backend": "simulator", "shots": 100, "input": content}
    job = create_job.sync(client=client, body=CircuitJobCreationPayload.from_dict(payload))
    core.wait_for_job(client, job.id, poll_interval=0.001)
    found = get_job_probabilities.sync(uuid=job.id, client=client).to_dict()
    out = np.zeros(8)
    for outcome, p in found.items():
        out[int(f"{int(outcome):03b}"[::-1], 2)] = p
    return out


def qiskit_ionq(fake):
    package = pytest.importorskip("qiskit_ionq")
    from qiskit import QuantumCircuit

    backend = package.IonQProvider(token=fake.key, url=fake.base).get_backend("simulator")
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.ry(0.7, 1)
    circuit.cx(0, 2)
    circuit.measure(range(3), range(3))
    result = backend.run(circuit, shots=1000).result(wait=0.01)
    out = np.zeros(8)
    for outcome, p in result.get_probabilities().items():
        out[int(outcome[::-1], 2)] = p
    return out


def cirq_ionq(fake):
    package = pytest.importorskip("cirq_ionq")
    cirq = pytest.importorskip("cirq")

    service = package.Service(remote_host=fake.url, api_key=fake.key, default_target="simulator")
    q = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.X(q[0]), cirq.ry(0.7)(q[1]), cirq.CNOT(q[0], q[2]), cirq.measure(*q, key="m"))
    job = service.create_job(circuit, repetitions=1000)
    result = job.results(polling_seconds=0)
    out = np.zeros(8)
    for outcome, p in result.probabilities().items():
        out[outcome] = p
    return out


CLIENTS = {"ionq-core": (ionq_core, 2), "qiskit-ionq": (qiskit_ionq, 1), "cirq-ionq": (cirq_ionq, 2)}
STYLE = {"ionq-core": "new", "qiskit-ionq": "old", "cirq-ionq": "old"}


@pytest.mark.parametrize("name", CLIENTS)
def test_another_client_reads_the_same_numbers(name):
    client, _ = CLIENTS[name]
    with FakeIonQ(style=STYLE[name], strict=name == "ionq-core") as fake:
        np.testing.assert_allclose(client(fake), ours(fake), atol=1e-9)
        assert len(fake.jobs) == 2


@pytest.mark.parametrize("name", CLIENTS)
def test_an_answer_that_is_lost_after_the_job_was_accepted(name):
    client, jobs = CLIENTS[name]
    with FakeIonQ(style=STYLE[name], strict=name == "ionq-core") as fake:
        fake.faults.add(Fault.DROPPED, Point.AFTER_ACCEPT)
        try:
            client(fake)
        except Exception as error:
            assert type(error).__module__.partition(".")[0] in ("requests", "qiskit_ionq", "httpx", "ionq_core")
        assert len(fake.faults.struck) == 1
        assert len(fake.jobs) == jobs


def test_several_circuits_as_qiskit_ionq_reads_them():
    package = pytest.importorskip("qiskit_ionq")
    from qiskit import QuantumCircuit

    circuits = [QuantumCircuit(3, 3) for _ in range(3)]
    for k, circuit in enumerate(circuits):
        circuit.ry(0.3 + k, k)
        circuit.measure(range(3), range(3))
    with FakeIonQ(style="old", strict=False) as fake:
        backend = package.IonQProvider(token=fake.key, url=fake.base).get_backend("simulator")
        result = backend.run(circuits, shots=1000).result(wait=0.01)
        (job,) = fake.jobs.values()
    assert job["type"] == "ionq.multi-circuit.v1"
    for k in range(3):
        theirs = {int(o[::-1], 2): p for o, p in result.get_probabilities(k).items()}
        assert theirs == pytest.approx({0: np.cos((0.3 + k) / 2) ** 2, 4 >> k: np.sin((0.3 + k) / 2) ** 2})


def test_here_it_stays_one_job():
    with FakeIonQ() as fake:
        fake.faults.add(Fault.DROPPED, Point.AFTER_ACCEPT)
        driver = driver_of(fake)
        with pytest.raises(Exception, match="may exist"):
            through(driver, ASKED)
        assert driver.find(intent_of(ASKED)).provider_ids == tuple(fake.jobs)
        assert len(fake.jobs) == 1
