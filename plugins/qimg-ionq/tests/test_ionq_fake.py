"""The fake itself: strict about requests, right in its numbers, and (where it is at hand) true to IonQ's OpenAPI."""

import json
import os
from pathlib import Path

import httpx
import numpy as np
import pytest

from qimg_core import LocalStates, Probabilities
from qimg_core.circuit.gates import GateName, matrix
from qimg_core.testing.reference import probabilities, statevector
from qimg_ionq.circuits import NAMES
from qimg_ionq.testing import FakeIonQ, simulator
from qimg_ionq.testing.rules import Rejected, check_job

from .conftest import driver_of, request, through, zoo

GOOD = {
    "type": "ionq.circuit.v1",
    "backend": "simulator",
    "metadata": {"a": "b"},
    "noise": {"model": "aria-1", "seed": 3},
    "shots": 100,
    "input": {"gateset": "qis", "qubits": 2, "circuit": [{"gate": "rx", "target": 0, "rotation": 0.5}]},
}
PLACES = {1: (1,), 2: (2, 0)}


def changed(path, value):
    document = json.loads(json.dumps(GOOD))
    *way, last = path.split(".")
    at = document
    for step in way:
        at = at[int(step) if step.isdecimal() else step]
    if value is ...:
        del at[last]
    else:
        at[int(last) if last.isdecimal() else last] = value
    return document


WRONG = {
    "lang": "json",
    "type": "ionq.qir.v1",
    "backend": "qpu.harmony",
    "shots": "100",
    "metadata.a": 3,
    "noise.model": "loud",
    "noise.seed": None,
    "settings": {"error_mitigation": {"debiasing": True}},
    "input": None,
    "input.qubits": 30,
    "input.gateset": "native",
    "input.circuit": {},
    "input.circuit.0.gate": "cz",
    "input.circuit.0.target": 2,
    "input.circuit.0.rotation": None,
    "input.circuit.0.phase": 0.1,
    "input.circuit.0": {"gate": "h", "target": 0, "rotation": 0.1},
    "input.circuits": [],
    "input.format": "ionq.circuit.v0",
}


@pytest.mark.parametrize("path", WRONG)
def test_the_fake_refuses_what_the_schema_does(path):
    check_job(GOOD)
    with pytest.raises(Rejected):
        check_job(changed(path, WRONG[path]))


@pytest.mark.parametrize("path", ["input", "type", "backend", "input.qubits", "input.circuit", "input.gateset"])
def test_the_fake_misses_what_is_required(path):
    with pytest.raises(Rejected):
        check_job(changed(path, ...))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_fakes_gates_are_the_reference_gates(name):
    from qimg_core import CircuitBuilder

    b = CircuitBuilder(3)
    places, angles = PLACES[name.n_wires], (0.7,) if name.n_angles else ()
    for w in range(3):
        b.ry(w, 0.3 + 0.4 * w).rz(w, 0.5 - 0.3 * w)
    circuit = b.gate(name, *places, angles=angles).rx(places[0], 0.4).build()
    gates = []
    for g in circuit.gates:
        one = {"gate": NAMES[g.name], "targets": list(g.wires)}
        if g.name is GateName.CX:
            one |= {"targets": [g.wires[1]], "controls": [g.wires[0]]}
        gates.append(one | ({"rotation": g.angle.offset} if g.angles else {}))
    found = simulator.distribution(gates, 3).reshape(2, 2, 2).transpose(2, 1, 0).reshape(-1)
    expected = probabilities(statevector(circuit, np.zeros(0)), (0, 1, 2))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_fakes_two_qubit_rotations_are_the_ir_matrices():
    for name in ("xx", "yy", "zz"):
        np.testing.assert_allclose(simulator.gate_matrix(name, 0.37), matrix(GateName("r" + name), 0.37), atol=1e-15)


def test_the_fake_wants_its_key(fake):
    for key in (None, "apiKey wrong", f"Bearer {fake.key}"):
        headers = {} if key is None else {"Authorization": key}
        assert httpx.get(f"{fake.base}/jobs", headers=headers, trust_env=False).status_code == 401
    assert httpx.get(f"{fake.base}/backends", trust_env=False).status_code == 200
    good = {"Authorization": f"apiKey {fake.key}"}
    assert httpx.get(f"{fake.base}/jobs", headers=good, trust_env=False).json() == {"jobs": [], "next": None}


def test_the_fake_counts_the_same_each_time_and_by_the_seed_of_the_noise():
    asked = request(zoo(3), Probabilities((0, 1, 2)), shots=500, seed=11)
    found = []
    for seed in (0, 1):
        with FakeIonQ(seed=seed) as fake:
            found += [through(driver_of(fake, "simulator:aria-1"), asked)[1].data]
            found += [through(driver_of(fake, "qpu.forte-1"), asked)[1].data]
    np.testing.assert_array_equal(found[0], found[2])  # the seed was in the request
    assert (found[1] != found[3]).any()


# -- against IonQ's own document, where the reader has it -----------------------------------------------------


def openapi():
    """IonQ's ``openapi.json`` (Apache-2.0) from the source distribution of ionq-core, named by the environment."""
    path = os.environ.get("QIMG_IONQ_OPENAPI")
    if not path:
        pytest.skip("QIMG_IONQ_OPENAPI names no openapi.json: take it from the sdist of ionq-core")
    return json.loads(Path(path).read_text())


def plain(schema):
    """OpenAPI 3.0's ``nullable`` in the words of JSON Schema."""
    if isinstance(schema, list):
        return [plain(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: plain(v) for k, v in schema.items() if k not in ("nullable", "example", "discriminator")}
    return {"anyOf": [out, {"type": "null"}]} if schema.get("nullable") else out


def test_requests_and_answers_are_those_of_ionqs_document():
    jsonschema = pytest.importorskip("jsonschema")
    components = plain(openapi()["components"])

    def check(name, document):
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        errors = [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(document)]
        assert errors == [], name

    exchanges = []
    with FakeIonQ() as fake:
        real = fake.handle

        def handle(asked):
            answer = real(asked)
            exchanges.append((asked, answer))
            return answer

        fake.handle = handle
        for device in ("simulator", "simulator:aria-1", "qpu.forte-1", "qpu.forte-1:debiasing"):
            driver = driver_of(fake, device)
            for measurement in (Probabilities((2, 0)), LocalStates([(0, 1)])):
                shots = None if device == "simulator" else 600
                handle_, _ = through(driver, request(zoo(3), measurement, rows=1, shots=shots, seed=1))
                driver.billed(handle_)
            driver.snapshot()
            driver.cancel(handle_)
            assert driver.find(_intent(handle_)) is None
    seen = set()
    for asked, answer in exchanges:
        for name, document in schemas(asked, answer):
            seen.add(name)
            check(name, document)
    assert seen >= {
        "CircuitJobCreationPayload",
        "MultiCircuitJobCreationPayload",
        "JobCreationResponse",
        "SingleCircuitJob",
        "MultiCircuitJob",
        "GetJobsResponse",
        "GetJobCostResponse",
        "GetJobEstimateResponse",
        "GetResultsResponse",
        "IonqResultProbabilitiesAggregateJsonV1",
        "Backend",
        "Characterization",
    }


def _intent(handle):
    from qimg_core.job import Intent

    return Intent(run="another", ordinal=0, job=0, request=handle.key)


def schemas(asked, answer):
    """(name of a schema, document) of one exchange."""
    path, body = asked.path.removeprefix("/v0.4"), json.loads(answer.body)
    if (asked.method, path) == ("POST", "/jobs"):
        several = asked.json()["type"] == "ionq.multi-circuit.v1"
        return [
            ("MultiCircuitJobCreationPayload" if several else "CircuitJobCreationPayload", asked.json()),
            ("JobCreationResponse", body),
        ]
    if path == "/jobs":
        return [("GetJobsResponse", body)]
    if path == "/jobs/estimate":
        return [("GetJobEstimateResponse", body)]
    if path.endswith("/cost"):
        return [("GetJobCostResponse", body)]
    if "/artifacts/" in path:
        several = isinstance(next(iter(body.values())), dict)
        return [("IonqResultProbabilitiesAggregateJsonV1" if several else "GetResultsResponse", body)]
    if "/characterizations" in path:
        return [("Characterization", body)]
    if path.startswith("/backends/"):
        return [("Backend", body)]
    if path.startswith("/jobs/"):
        return [("MultiCircuitJob" if body["type"] == "ionq.multi-circuit.v1" else "SingleCircuitJob", body)]
    raise AssertionError(f"no schema for {asked.method} {path}")
