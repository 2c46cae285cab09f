"""Raw inputs cannot leave: the class follows the numbers, and the road asks before anything is sent."""

import pickle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, pauli
from qimg_core.errors import AdmissionDenied, DataError, PolicyError
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider, ReferenceBackend
from qimg_data import plugin
from qimg_data.zones import InputClass, Inputs, class_of, encode, inputs, most_sensitive, recovered

CLASSES = list(InputClass)
RAW = np.linspace(0.1, 1.2, 32).reshape(4, 8)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.delenv("QIMG_ZONES", raising=False)
    found = Registry(discover=False)
    found.register(plugin, "data")
    return found


@pytest.fixture
def ledger(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as found:
        yield found


def request(x):
    b = CircuitBuilder(1)
    for k in range(x.shape[1]):
        b.ry(0, b.input(f"x{k}"))
    return ExecutionRequest(
        circuit=b.build(), inputs=x, weights=np.zeros(0), measurement=Expectation([pauli("Z0")]), shots=100
    )


def execute(x, registry, ledger, backend=None, stated=None, activity="execute"):
    """The jobs that were sent, and the result."""
    device = backend or FakeProvider()
    polling = Polling(sleep=lambda s: None)
    with Session(ledger, seed=1, backend=device, registry=registry, polling=polling, context=stated,
                 activity=activity) as s:  # fmt: skip
        return s.execute(request(x))


def sent(ledger):
    return sum(1 for _ in ledger.entries(kind="jobs.intended"))


@pytest.mark.parametrize("kind", CLASSES)
def test_only_encoded_synthetic_and_public_inputs_leave(kind, registry, ledger):
    leaves = kind in ("encoded", "synthetic", "public")
    device = FakeProvider()
    if leaves:
        assert execute(inputs(RAW, kind), registry, ledger, device).data.shape == (4, 1)
    else:
        with pytest.raises(AdmissionDenied, match=kind.value):
            execute(inputs(RAW, kind), registry, ledger, device)
    assert bool(sent(ledger)) == leaves == bool(device.cloud.jobs)
    (decision,) = [e.facts for e in ledger.entries(kind="policy.decided")]
    assert decision["inputs"] == kind and decision["verdict"] == ("allow" if leaves else "deny")


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_is_asked_of_work_in_this_process(kind, registry, ledger):
    b = request(RAW)
    with Session(ledger, seed=1, backend=ReferenceBackend(), registry=registry) as s:
        from attrs import evolve

        s.execute(evolve(b, inputs=inputs(RAW, kind), shots=None))
    assert not list(ledger.entries(kind="policy.decided"))


@pytest.mark.parametrize("word", ["personal", "special", "confidential", "internal"])
@pytest.mark.parametrize("claimed", [None, "public", "synthetic", "tokenised"])
def test_a_run_on_sensitive_data_sends_no_array_that_is_not_encoded(word, claimed, registry, ledger):
    x = RAW if claimed is None else inputs(RAW, claimed)
    with pytest.raises(AdmissionDenied, match="raw_personal"):
        execute(x, registry, ledger, stated={"sensitivity": word})
    assert sent(ledger) == 0


def test_an_encoding_of_sensitive_data_leaves_and_what_is_generated_does_too(registry, ledger):
    small = encode(inputs(RAW, "raw_personal"), lambda x: x[:, :4] @ np.ones((4, 1)))
    execute(small, registry, ledger, stated={"sensitivity": "personal"})
    execute(RAW, registry, ledger, stated={"sensitivity": "personal"}, activity="generate")
    assert sent(ledger) == 2


def test_what_nobody_knows_is_left_to_other_policies_unless_zones_are_strict(registry, ledger, monkeypatch):
    execute(RAW, registry, ledger)
    assert not list(ledger.entries(kind="policy.decided"))
    monkeypatch.setenv("QIMG_ZONES", "strict")
    with pytest.raises(AdmissionDenied, match="unstated"):
        execute(RAW, registry, ledger)
    execute(RAW, registry, ledger, stated={"sensitivity": "public"})


def test_a_manifest_of_the_run_counts_more_than_what_an_array_claims(registry, ledger):
    with Session(ledger, seed=1, backend=FakeProvider(), registry=registry, polling=Polling(sleep=lambda s: None)) as s:
        s.record("data.checked", {"inputs": "raw_personal"})
        with pytest.raises(AdmissionDenied, match="by its manifest"):
            s.execute(request(inputs(RAW, "public")))
        with pytest.raises(AdmissionDenied):
            s.execute(request(RAW[:, :3]))
    assert sent(ledger) == 0


def test_a_refused_plan_falls_back_to_the_simulator(ledger, registry, tmp_path):
    from qimg_core.hooks import BackendSpec, hookimpl

    class Here:
        @hookimpl
        def qimg_backends(self):
            cloud = BackendSpec(name="cloud", target="qimg_core.testing:FakeProvider", remote=True, metered=True)
            return [cloud, BackendSpec(name="reference", target="qimg_core.testing:ReferenceBackend")]

    registry.register(Here(), "here")
    with Session(ledger, seed=1, backend="cloud", fallback=["reference"], registry=registry) as s:
        done = s.execute(request(inputs(RAW, "raw_personal")))
    assert done.record.ran_backend == "reference" and "raw_personal" in str(done.record.fallback_reason)
    assert sent(ledger) == 0


@pytest.mark.parametrize("price", ["0.01", "0"])
def test_raw_inputs_do_not_leave_after_others_of_the_same_form_did(price, registry, ledger):
    device = FakeProvider(price=Decimal(price))
    with Session(ledger, seed=1, backend=device, registry=registry, polling=Polling(sleep=lambda s: None)) as s:
        s.execute(request(inputs(RAW, "public")))
        with pytest.raises(AdmissionDenied):
            s.execute(request(inputs(RAW, "raw_personal")))
    assert len(device.cloud.jobs) == 1


OPERATIONS = {
    "arithmetic": lambda x: np.sin(2 * x + 1) ** 2 / 3,
    "inplace": lambda x: x.__iadd__(1.0),
    "slice": lambda x: x[1:, ::2],
    "fancy": lambda x: x[[0, 2]],
    "copy": lambda x: x.copy(),
    "astype": lambda x: x.astype(np.float32),
    "transpose": lambda x: x.T.reshape(-1, 2),
    "stack": lambda x: np.stack([np.zeros_like(np.asarray(x)), x]),
    "concatenate": lambda x: np.concatenate([np.asarray(x), x], axis=1),
    "matmul": lambda x: np.asarray(x).T @ x,
    "where": lambda x: np.where(np.asarray(x) > 0, x, 0),
    "reduction": lambda x: x.mean(0),
    "clip": lambda x: np.clip(x, 0, 1),
    "split": lambda x: np.split(x, 2)[0],
    "out": lambda x: np.add(x, 1, out=np.zeros(x.shape).view(Inputs)),
    "einsum": lambda x: np.einsum("ij,ij->ij", x, x),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "fft": lambda x: np.fft.rfft(x).real,
    "item": lambda x: x[0, 0] * np.ones(3),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_class_follows_the_numbers(name):
    made = OPERATIONS[name](inputs(RAW.copy(), "raw_personal"))
    plain = OPERATIONS[name](RAW.copy()) if name != "out" else RAW + 1
    if name != "item":
        assert class_of(made) is InputClass.RAW_PERSONAL
    np.testing.assert_allclose(np.asarray(made), plain)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=5))
def test_the_most_sensitive_class_wins_whatever_the_order(kinds):
    total = sum(inputs(RAW, k) for k in kinds)
    assert class_of(total) is most_sensitive(*kinds) is min(kinds, key=CLASSES.index)
    assert class_of(np.concatenate([inputs(RAW, k) for k in reversed(kinds)])) is class_of(total)


def test_a_less_sensitive_name_does_not_clean_an_array():
    assert class_of(inputs(inputs(RAW, "raw_personal"), "public")) is InputClass.RAW_PERSONAL
    with pytest.raises(ValueError, match="harmless"):
        inputs(RAW, "harmless")


def test_an_encoding_that_reduces_nothing_is_refused():
    raw = inputs(RAW, "raw_personal")
    for wide in (8, 3):
        with pytest.raises(PolicyError, match="at most 2"):
            encode(raw, lambda x, w=wide: np.pi * x[:, :w])
    assert class_of(encode(raw, lambda x: x[:, :2])) is InputClass.ENCODED
    with pytest.raises(DataError):
        encode(raw, lambda x: x.T)


def test_recovered_is_one_for_what_can_be_turned_back_and_none_for_noise():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12))
    assert recovered(raw, raw[:, :3]) == pytest.approx(1)
    assert recovered(raw, rng.normal(size=(400, 3))) < 0.05
