"""Proposals: what is kept, found again, refused; numbers against the reference device and the ledger's own checks."""

import datetime as dt
import json

import numpy as np
import pytest
from attrs import evolve

from qimg_core import (
    CircuitBuilder,
    ExecutionRequest,
    Expectation,
    LocalStates,
    Probabilities,
    Registry,
    Samples,
    Session,
    State,
    pauli,
)
from qimg_core.capabilities import DeviceKind
from qimg_core.circuit.ir import Circuit
from qimg_core.errors import ConfigurationError, DataError, LedgerCorrupt
from qimg_core.execution import array_digest
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.mitigation import Mitigation
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_core.proposals import KEPT, Proposals, keep, measurement_digest, reused, worth_keeping
from qimg_core.testing import ReferenceBackend

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
Z = Expectation([pauli("Z0")])


def circuit():
    b = CircuitBuilder(2)
    return b.ry(0, b.input("x")).cx(0, 1).rz(1, b.weight("w")).build()


def request(x=(0.1, 0.7), measurement=Z, **changes):
    inputs = np.array(x, dtype=float)[:, None]
    return ExecutionRequest(
        circuit=circuit(), inputs=inputs, weights=np.array([0.3]), measurement=measurement, **changes
    )


def execute(ledger, *requests, at=NOON, **changes):
    """Run requests on the reference device and keep each; ``changes`` go into the records."""
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        for asked in requests:
            result = session.execute(asked)
            record = evolve(result.record, **changes)
            session.record(KEPT, keep(session.put, asked, record, result.data, run=session.run, at=at))
        return session.run


@pytest.fixture
def ledger():
    return MemoryLedger()


def test_a_kept_execution_is_found_again_with_its_numbers(ledger):
    run = execute(ledger, request())
    found = Proposals(ledger).find(request())
    np.testing.assert_allclose(found.data()[:, 0], np.cos([0.1, 0.7]), atol=1e-12)  # <Z> of ry(x)|0>
    np.testing.assert_array_equal(found.numbers().inputs, [[0.1], [0.7]])
    np.testing.assert_array_equal(found.numbers().weights, [0.3])
    assert found.source == f"{run}/0"
    assert (found.backend, found.device_kind, found.shots) == ("reference", DeviceKind.SIMULATOR, None)
    assert found.executed_circuit() == circuit()
    assert ledger.entry(found.entry).kind == KEPT
    assert ledger.entry(found.entry).digest == found.entry_digest


@pytest.mark.parametrize(
    "other",
    [
        request((0.1, 0.70000001)),
        request((0.1,)),
        request(measurement=Expectation([pauli("Z1")])),
        request(shots=100),
        request(noise=NoiseModel([NoiseRule(depolarizing(0.01))])),
        request(mitigation=Mitigation(readout=True)),
        evolve(request(), weights=np.array([0.31])),
        evolve(request(), circuit=Circuit(2, circuit().gates[:2], circuit().parameters)),
    ],
    ids=["inputs", "rows", "measurement", "shots", "noise", "mitigation", "weights", "circuit"],
)
def test_another_request_is_not_found(ledger, other):
    execute(ledger, request())
    index = Proposals(ledger)
    assert index.find(other, other_seed=True) is None
    assert index.find(request()) is not None


def test_another_seed_is_another_request_unless_the_caller_says_otherwise(ledger):
    execute(ledger, request(shots=50, seed=1))
    index = Proposals(ledger)
    assert index.find(request(shots=50, seed=2)) is None
    assert index.find(request(shots=50, seed=None)) is None
    assert index.find(request(shots=50, seed=1)).seed == 1
    assert index.find(request(shots=50, seed=2), other_seed=True).seed == 1
    assert index.find(request(shots=51, seed=2), other_seed=True) is None


def test_the_device_and_its_kind_can_be_asked_for(ledger):
    execute(ledger, request(), ran_backend="ibm:ibm_fez", device_kind="qpu")
    index = Proposals(ledger)
    assert index.find(request(), backend="reference") is None
    assert index.find(request(), kinds={DeviceKind.SIMULATOR}) is None
    found = index.find(request(), backend="ibm:ibm_fez", kinds={DeviceKind.QPU})
    assert (found.backend, found.device_kind) == ("ibm:ibm_fez", DeviceKind.QPU)


def test_an_old_one_is_refused_and_the_newest_is_taken(ledger):
    index = Proposals(ledger)
    day = dt.timedelta(days=1)
    execute(ledger, request(), at=NOON)
    assert index.find(request(), max_age=day, now=NOON + day).at == NOON
    assert index.find(request(), max_age=day, now=NOON + day + dt.timedelta(seconds=1)) is None
    execute(ledger, request(), at=NOON + day)  # the index was asked before: it has to look again
    assert index.find(request(), now=NOON + 2 * day).at == NOON + day


def test_a_time_of_another_zone_is_the_same_moment(ledger):
    execute(ledger, request(), at=NOON.astimezone(dt.timezone(dt.timedelta(hours=5))))
    assert Proposals(ledger).find(request()).age(NOON) == dt.timedelta(0)


def test_what_a_surrogate_learns_from(ledger):
    noisy = request(noise=NoiseModel(readout=(0.1, 0.1)))
    asked = [request(), request((0.5,)), request(measurement=Expectation([pauli("Z1")])), request((0.2,), shots=9)]
    execute(ledger, *asked)
    facts = {**ledger.entry(Proposals(ledger).find(asked[1]).entry).facts}
    ledger.append(KEPT, run="r", facts={**facts, "plain": False})
    ledger.append(KEPT, run="r", facts={**facts, "schema": "qimg.proposal/2"})  # a later version's: left alone
    found = list(Proposals(ledger).of_circuit(circuit().digest, Z))
    assert [p.request for p in found] == [asked[k].digest for k in (0, 1, 3)]
    assert list(Proposals(ledger).of_circuit(noisy.circuit.digest, Probabilities([0]))) == []
    assert list(Proposals(ledger).of_circuit("nonsense", Z)) == []
    assert len(list(Proposals(ledger))) == 5


def test_an_index_that_is_asked_again_counts_nothing_twice(ledger):
    index = Proposals(ledger)
    for number in range(1, 4):
        execute(ledger, request((0.1 * number,)))
        assert len(list(index.of_circuit(circuit().digest, Z))) == number


def test_places_that_collide_are_told_apart(ledger, monkeypatch):
    monkeypatch.setattr("qimg_core.proposals._key", lambda what, digest: b"one place for all")
    execute(ledger, request(), request((0.4, 0.5)))
    index = Proposals(ledger)
    np.testing.assert_array_equal(index.find(request()).numbers().inputs, [[0.1], [0.7]])
    assert index.find(request((0.6, 0.5))) is None
    assert list(index.of_circuit("sha256:" + "0" * 64, Z)) == []


def test_contracted_and_mitigated_requests_are_not_plain(ledger):
    matrices = (np.eye(2, dtype=complex)[None],)
    asked = request(measurement=LocalStates([(0,)]))
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        result = session.execute(asked)
    for other in (evolve(asked, readout=matrices), evolve(asked, mitigation=Mitigation(readout=True))):
        record = evolve(result.record, request=other.digest)
        assert keep(ledger.put, other, record, result.data, run="r", at=NOON)["plain"] is False
    assert keep(ledger.put, asked, result.record, result.data, run="r", at=NOON)["plain"] is True


@pytest.mark.parametrize(
    "asked",
    [
        request(measurement=Probabilities([1, 0])),
        request(measurement=LocalStates([(1, 0)])),
        request(measurement=Samples([1, 0]), shots=7, seed=3),
        request(measurement=State()),
        request(noise=NoiseModel([NoiseRule(depolarizing(0.25), ["ry"])], readout=(0.1, 0.2))),
    ],
    ids=["probabilities", "local states", "samples", "state", "noise"],
)
def test_every_layout_comes_back_bit_for_bit(ledger, asked):
    exact = evolve(asked, noise=None)  # the reference device takes no noise; the arrays are what matters here
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        result = session.execute(exact)
        record = evolve(result.record, request=asked.digest)
        session.record(KEPT, keep(session.put, asked, record, result.data, run=session.run, at=NOON))
    numbers = Proposals(ledger).find(asked).numbers()
    np.testing.assert_array_equal(numbers.data, result.data)
    assert numbers.data.dtype == result.data.dtype
    assert (numbers.measurement, numbers.noise) == (asked.measurement, asked.noise)


def test_tensors_are_kept_as_the_request_names_them(ledger):
    torch = pytest.importorskip("torch")
    asked = evolve(request(), inputs=torch.tensor([[0.5]]), weights=torch.tensor([0.3], requires_grad=True))
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        record = session.execute(request()).record
    facts = keep(ledger.put, asked, evolve(record, request=asked.digest), torch.tensor([[0.1]]), run="r", at=NOON)
    ledger.append(KEPT, run="r", facts=facts)
    found = Proposals(ledger).find(asked)
    assert found.numbers().inputs.dtype == np.float32
    assert (found.inputs, found.weights) == (asked.inputs_digest, asked.weights_digest)


def test_what_no_device_made_is_not_kept(ledger):
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        result = session.execute(request())
    for changed in (evolve(result.record, device_kind="surrogate"), evolve(result.record, reused="run/3")):
        assert not worth_keeping(changed)
        with pytest.raises(ConfigurationError, match="only numbers that a device made"):
            keep(ledger.put, request(), changed, result.data, run="r", at=NOON)
    assert worth_keeping(result.record)


def test_numbers_of_another_request_are_not_kept(ledger):
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as session:
        result = session.execute(request())
    with pytest.raises(DataError, match="the record is of request"):
        keep(ledger.put, request((0.5, 0.6)), result.record, result.data, run="r", at=NOON)
    with pytest.raises(DataError, match="wanted 2 rows, got 1"):
        keep(ledger.put, request(), result.record, result.data[:1], run="r", at=NOON)
    with pytest.raises(ConfigurationError, match="zone"):
        keep(ledger.put, request(), result.record, result.data, run="r", at=NOON.replace(tzinfo=None))


def test_the_artefact_is_checked_against_the_entry(ledger):
    execute(ledger, request(), request((0.4, 0.5)))
    first, second = (Proposals(ledger).find(r) for r in (request(), request((0.4, 0.5))))
    facts = ledger.entry(first.entry).facts
    swapped = {**facts, "artefacts": {**facts["artefacts"], "proposal": second.artefact}}
    ledger.append(KEPT, run="r", facts=swapped)  # a whole artefact, but of another proposal
    with pytest.raises(LedgerCorrupt, match="inputs have the digest"):
        Proposals(ledger).find(request()).data()
    assert first.data().shape == (2, 1)


def test_changed_bytes_of_an_artefact_are_noticed(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        execute(ledger, request())
        found = Proposals(ledger).find(request())
        name = found.artefact.removeprefix("sha256:")
        path = tmp_path / "runs" / "artefacts" / "sha256" / name[:2] / name
        blob = bytearray(path.read_bytes())
        blob[-1] ^= 1
        path.write_bytes(bytes(blob))
        with pytest.raises(LedgerCorrupt, match="has the digest"):
            found.data()


def test_an_entry_that_is_no_proposal_is_named(ledger):
    execute(ledger, request())
    facts = dict(ledger.entry(Proposals(ledger).find(request()).entry).facts)
    del facts["any_seed"]
    entry = ledger.append(KEPT, run="r", facts=facts)
    with pytest.raises(LedgerCorrupt, match=f"entry {entry.index} is no proposal"):
        Proposals(ledger).find(request())


def test_many_jobs_still_fit_an_entry(ledger):
    raws = tuple(array_digest(np.array([k])) for k in range(2000))
    execute(ledger, request(), raw=raws)
    found = Proposals(ledger).find(request())
    facts = ledger.entry(found.entry).facts
    assert (facts["raws"], facts["raw"]) == (2000, list(raws[:64]))
    blob = ledger.get(found.artefact)
    header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    assert json.loads(header["__metadata__"]["qimg"])["raw"] == list(raws)


def test_equal_executions_share_one_artefact(ledger):
    execute(ledger, request(), request())
    one, two = Proposals(ledger)
    assert one.artefact == two.artefact
    assert one.entry != two.entry


def test_reuse_names_its_source(ledger):
    run = execute(ledger, request(shots=5, seed=1))
    found = Proposals(ledger).find(request(shots=5, seed=2), other_seed=True)
    facts = reused(found, request(shots=5, seed=2), now=NOON + dt.timedelta(hours=1))
    entry = ledger.append("proposal.reused", run="later", facts=facts)  # canonical JSON takes it
    assert entry.facts["source"] == {
        "run": run,
        "ordinal": 0,
        "entry": found.entry,
        "entry_digest": found.entry_digest,
        "request": request(shots=5, seed=1).digest,
        "backend": "reference",
        "device_kind": "simulator",
        "snapshot": None,
        "seed": "1",
        "at": "2026-05-04T12:00:00+00:00",
    }
    assert entry.facts["age_seconds"] == 3600
    assert entry.facts["same_seed"] is False
    assert entry.facts["output"] == array_digest(found.data())


def test_measurements_that_differ_have_other_digests():
    several = [Probabilities([0, 1]), Probabilities([1, 0]), Samples([0, 1]), Z, Expectation([pauli("X0")])]
    assert len({measurement_digest(m) for m in several}) == len(several)
    assert measurement_digest(Expectation([pauli("Z0")])) == measurement_digest(Z)
