"""The road under a policy: what is recorded before what, what is sent, which hop runs, what is withheld."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, hookimpl, pauli
from qimg_core.admission import Context
from qimg_core.errors import AdmissionDenied, ConfigurationError
from qimg_core.hooks import BackendSpec
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider, ReferenceBackend
from qimg_core.verdict import Verdict
from qimg_policy import plugin
from qimg_policy.bundle import SETTINGS, shipped_bundle, write_bundle
from qimg_policy.gate import admit
from qimg_policy.keys import SigningKey
from qimg_policy.obligations import from_record
from qimg_policy.pin import write_pin
from qimg_policy.replaying import decision_entry, replay
from qimg_policy.schema import schema_text

KEY = SigningKey("officer", bytes(range(32)))
OTHER = SigningKey("stranger", bytes(range(1, 33)))
TABLE = '\n[[device]]\nbackend = "fake-provider"\nprovider = "ibm"\nzone = "outside"\nregion = "eu"\napproved = true\n'


class Reference:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="reference", target="qimg_core.testing:ReferenceBackend")]


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(plugin, "policy")
    found.register(Reference(), "reference")
    return found


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("QIMG_POLICY", raising=False)


def bundle(name="team", **replaced):
    """A shipped bundle that knows the fake provider; ``replaced`` are changes of its policy.toml."""
    found = shipped_bundle(name)
    text = found.files[SETTINGS] + TABLE
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    found = evolve(found, files={**found.files, SETTINGS: text})
    return evolve(found, files={**found.files, "schema.cedarschema": schema_text(found.settings)})


@pytest.fixture
def opened(tmp_path):
    """Makes empty ledgers."""
    found = []

    def make():
        found.append(SQLiteLedger.open(tmp_path / f"log-{len(found)}"))
        return found[-1]

    yield make
    for ledger in found:
        ledger.close()


@pytest.fixture
def pinned(opened):
    """Makes ledgers that pin a shipped bundle with changes; signed."""

    def make(name="team", **replaced):
        ledger, b = opened(), bundle(name, **replaced)
        write_pin(ledger, evolve(b, signature=b.signed([KEY])), [KEY.public])
        return ledger

    return make


def request(rows=2, **changes):
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    x = np.linspace(0.1, 1.3, rows)[:, None]
    measured = Expectation([pauli("Z0")])
    return ExecutionRequest(circuit=circuit, inputs=x, weights=np.zeros(0), measurement=measured, **changes)


def kinds(ledger):
    return [e.kind for e in ledger.entries()]


OK = {"sensitivity": "public", "export_class": "not_controlled", "purpose": "research"}


def session(ledger, registry, backend, **changes):
    return Session(ledger, seed=1, backend=backend, registry=registry, polling=Polling(sleep=lambda s: None), **changes)


@pytest.mark.parametrize("profile", ["solo", "team", "regulated"])
def test_in_process_simulation_runs_unchanged_under_every_profile(profile, registry, pinned):
    ledger = pinned(profile)
    with session(ledger, registry, ReferenceBackend(), activity="generate") as s:
        under = s.execute(request())
    with Session(None, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False)) as free:
        assert np.array_equal(under.data, free.execute(request()).data)
    assert kinds(ledger)[1:4] == ["run.started", "policy.decided", "plan.admitted"]


def test_a_plan_that_is_refused_sends_nothing_and_the_decision_is_on_record_first(registry, pinned):
    ledger, fake = pinned(), FakeProvider()
    with session(ledger, registry, fake) as s, pytest.raises(AdmissionDenied, match="reach") as refused:
        s.execute(request())
    assert fake.submits == 0
    assert s.spending.cost == 0
    assert kinds(ledger) == ["policy.pinned", "run.started", "policy.decided", "plan.refused", "run.finished"]
    decided = ledger.entry(2).facts
    assert decided["verdict"] == "deny"
    assert {f["rule"] for f in decided["findings"]} == {"reach", "residency", "export"}
    assert all(f["reason"] and f["satisfy"] for f in decided["findings"])
    assert ledger.entry(3).facts["decisions"] == [2]
    assert "sensitivity" in refused.value.hint


def test_an_admitted_plan_is_sent_after_its_decision_and_points_to_it(registry, pinned):
    ledger, fake = pinned(), FakeProvider()
    with session(ledger, registry, fake, context=OK) as s:
        s.execute(request(shots=100))
    found = kinds(ledger)
    assert fake.submits == 1
    first_sent = next(i for i, kind in enumerate(found) if kind.startswith("job"))
    assert found.index("policy.decided") < found.index("plan.admitted") < first_sent
    admitted = next(ledger.entries(kind="plan.admitted"))
    assert admitted.facts["policy_decisions"] == [found.index("policy.decided")]
    facts = ledger.entry(found.index("policy.decided")).facts
    given = json.loads(ledger.get(facts["artefacts"]["input"]))
    assert (given["provider"], given["zone"], given["region"], given["cost_micro"]) == ("ibm", "outside", "eu", 10_000)
    assert type(facts["latency_us"]) is int


def test_a_decision_replays_identically_from_the_ledger_and_a_changed_one_shows(registry, pinned):
    ledger = pinned()
    with session(ledger, registry, FakeProvider(), context=OK) as s:
        s.execute(request(shots=100))
    with session(ledger, registry, FakeProvider()) as s, pytest.raises(AdmissionDenied):
        s.execute(request())
    decided = list(ledger.entries(kind="policy.decided"))
    assert [e.facts["verdict"] for e in decided] == ["allow", "deny"]
    assert [replay(ledger, e).verdict for e in decided] == [Verdict.PASS, Verdict.PASS]
    assert decision_entry(ledger, decided[1].index + 1).index == decided[1].index
    forged = {**decided[1].facts, "verdict": "allow", "findings": []}
    lie = ledger.append("policy.decided", facts=forged)
    assert replay(ledger, lie).verdict is Verdict.FAIL


def test_the_same_plan_is_refused_once_on_record_and_again_without_writing(registry, pinned):
    ledger = pinned()
    with session(ledger, registry, FakeProvider()) as s:
        for _ in range(3):
            with pytest.raises(AdmissionDenied):
                s.execute(request())
    assert kinds(ledger).count("plan.refused") == 1


def test_the_policy_picks_the_hop_of_the_callers_chain_and_says_so(registry, pinned):
    ledger, fake = pinned(), FakeProvider()
    with session(
        ledger, registry, fake, fallback=("reference",), context={"sensitivity": "personal", "consent": "given"}
    ) as s:
        result = s.execute(request(shots=50))
    assert fake.submits == 0
    assert result.record.ran_backend == "reference"
    assert "reach" in result.record.fallback_reason
    fell = next(ledger.entries(kind="route.fell_back")).facts
    assert (fell["from"], fell["to"]) == ("fake-provider", "reference")
    assert [e.facts["verdict"] for e in ledger.entries(kind="policy.decided")] == ["deny", "allow"]


def test_no_hop_that_the_caller_did_not_name_is_taken(registry, pinned):
    ledger = pinned()
    with session(ledger, registry, FakeProvider()) as s, pytest.raises(AdmissionDenied):
        s.execute(request())
    assert "route.fell_back" not in kinds(ledger)


def test_other_weights_are_decided_again(registry, pinned):
    ledger = pinned()
    with session(ledger, registry, ReferenceBackend()) as s:
        s.execute(request())
        s.execute(request())
        assert kinds(ledger).count("policy.decided") == 1
        s.weights = "sha256:" + "0" * 64
        s.execute(request())
    assert kinds(ledger).count("policy.decided") == 2


def test_a_word_that_only_looks_right_is_refused(registry, pinned):
    with session(pinned(), registry, FakeProvider(), context={**OK, "sensitivity": "Public"}) as s:
        with pytest.raises(AdmissionDenied, match="E_INPUT"):
            s.execute(request())


class Marks:
    MARKS = ("label", "watermark")

    @hookimpl
    def qimg_mark(self, pixels, record):
        return pixels


def test_obligations_withhold_images_until_somebody_meets_them(registry, pinned):
    ledger = pinned("team")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        assert s.context.obligations == ("label",)
        (answer,) = registry.hooks.hook.qimg_screen(images=None, context=s.context)
        assert answer.verdict == "deny"
        assert "label is owed" in answer.reasons[0]
    registry.register(Marks(), "marks")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        (answer,) = registry.hooks.hook.qimg_screen(images=None, context=s.context)
        assert answer.verdict == "allow"


def test_regulated_images_for_the_public_owe_an_outside_memory(registry, pinned):
    ledger = pinned("regulated")
    registry.register(Marks(), "marks")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        (answer,) = registry.hooks.hook.qimg_screen(images=None, context=s.context)
    assert {r.split(" ")[0] for r in answer.reasons} == {"c2pa", "outside_memory"}


def test_without_a_policy_nothing_is_decided(registry):
    with session(None, registry, ReferenceBackend()) as s:
        s.execute(request())
        assert "policy.decided" not in kinds(s.ledger)


def test_a_running_bundle_that_is_not_the_pinned_one_is_drift(registry, tmp_path, monkeypatch, pinned):
    ledger = pinned()
    write_bundle(bundle(**{"longest_days = 30": "longest_days = 31"}), tmp_path / "b")
    monkeypatch.setenv("QIMG_POLICY", str(tmp_path / "b"))
    fake = FakeProvider()
    with session(ledger, registry, fake, context=OK) as s, pytest.raises(AdmissionDenied, match="E_DRIFT"):
        s.execute(request())
    assert fake.submits == 0
    with session(ledger, registry, ReferenceBackend()) as s:
        s.execute(request())
    last = list(ledger.entries(kind="policy.decided"))[-1].facts
    assert [f["code"] for f in last["findings"]] == ["I_LOCAL_WHEN_DOWN"]


@pytest.mark.parametrize("broken", ["permit(", "", '@id("reach") permit (principal, action, resource);'])
def test_a_malformed_running_bundle_refuses_what_leaves_and_harmless_work_goes_on(
    broken, registry, tmp_path, monkeypatch, pinned
):
    ledger, b = pinned(), bundle()
    write_bundle(evolve(b, files={**b.files, "team.cedar": broken}), tmp_path / "b")
    monkeypatch.setenv("QIMG_POLICY", str(tmp_path / "b"))
    with session(ledger, registry, FakeProvider(), context=OK) as s, pytest.raises(AdmissionDenied, match="E_BUNDLE"):
        s.execute(request())
    with session(ledger, registry, ReferenceBackend()) as s:
        s.execute(request())


def test_a_malformed_bundle_without_a_pin_refuses_everything(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("QIMG_POLICY", str(tmp_path / "missing"))
    with session(None, registry, ReferenceBackend()) as s, pytest.raises(AdmissionDenied, match="E_BUNDLE"):
        s.execute(request())


def test_regulated_wants_a_signature_and_a_pin(registry, tmp_path, monkeypatch, pinned, opened):
    b = bundle("regulated")
    with pytest.raises(ConfigurationError, match="demands a signature"):
        write_pin(opened(), b, [])
    with pytest.raises(ConfigurationError, match="demands a signature"):
        write_pin(opened(), evolve(b, signature=b.signed([OTHER])), [KEY.public])
    write_bundle(evolve(b, signature=b.signed([KEY])), tmp_path / "b")
    monkeypatch.setenv("QIMG_POLICY", str(tmp_path / "b"))
    fake = FakeProvider()
    with session(None, registry, fake, context=OK) as s, pytest.raises(AdmissionDenied, match="pins no policy"):
        s.execute(request())
    with session(pinned("regulated"), registry, fake, context=OK) as s:
        s.execute(request(shots=10))
    assert fake.submits == 1


def test_a_regulated_policy_is_replaced_only_by_one_that_its_own_keys_signed(pinned):
    ledger = pinned("regulated")
    weaker = shipped_bundle("solo")
    with pytest.raises(ConfigurationError, match="only a bundle signed by one of its keys"):
        write_pin(ledger, weaker, [])
    with pytest.raises(ConfigurationError, match="only a bundle signed by one of its keys"):
        write_pin(ledger, evolve(weaker, signature=weaker.signed([OTHER])), [OTHER.public])
    write_pin(ledger, evolve(weaker, signature=weaker.signed([KEY])), [KEY.public])


def test_the_source_of_truth_is_compared_and_its_absence_refuses_what_leaves(registry, tmp_path, opened):
    ledger, b, truth = opened(), bundle(), tmp_path / "digest.txt"
    write_pin(ledger, b, [], str(truth))
    for text, code in ((None, "E_UNREACHABLE"), ("sha256:" + "0" * 64, "E_DRIFT"), ("", "E_DRIFT")):
        if text is not None:
            truth.write_text(text)
        with session(ledger, registry, FakeProvider(), context=OK) as s, pytest.raises(AdmissionDenied, match=code):
            s.execute(request())
    truth.write_text(b.digest + "  team\n")
    with session(ledger, registry, FakeProvider(), context=OK) as s:
        s.execute(request(shots=10))


def test_a_core_without_facts_is_refused_not_waved_through(registry):
    with pytest.raises(ConfigurationError, match="facts of a plan"):
        admit(None, Context(run="r", activity="generate"))


class Broken:
    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def qimg_admit(self, plan, context):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [RuntimeError("x"), True, "allow", {"verdict": "allow"}, KeyError("y")])
def test_a_policy_plugin_that_breaks_or_answers_nonsense_refuses(answer):
    registry = Registry(discover=False)
    registry.register(Broken(answer), "broken")
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as s, pytest.raises(AdmissionDenied):
        s.execute(request())


def test_a_cost_is_rounded_up_to_micro_units(registry, pinned):
    ledger = pinned(**{'zone = "outside"\nregion = "eu"': 'zone = "outside"\nregion = "eu"'})
    with session(ledger, registry, FakeProvider(price=Decimal("0.0000011")), context=OK) as s:
        s.execute(request(shots=10))
    facts = next(ledger.entries(kind="policy.decided")).facts
    assert json.loads(ledger.get(facts["artefacts"]["input"]))["cost_micro"] == 2


def test_a_clock_that_was_set_back_refuses_what_leaves_the_machine(registry, monkeypatch, pinned):
    import qimg_policy.gate as gate

    class Back(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime(2020, 1, 1, tzinfo=tz)

    ledger = pinned()
    monkeypatch.setattr(gate.dt, "datetime", Back)
    with session(ledger, registry, FakeProvider(), context=OK) as s, pytest.raises(AdmissionDenied, match="E_CLOCK"):
        s.execute(request())
    with session(ledger, registry, ReferenceBackend()) as s:
        s.execute(request())


@pytest.mark.parametrize(
    ("marks", "verdict"),
    [
        (["label"], Verdict.PASS),
        (["label", "watermark"], Verdict.PASS),
        ([], Verdict.FAIL),
        (["watermark"], Verdict.FAIL),
        (["some-plugin"], Verdict.INCONCLUSIVE),
    ],
)
def test_a_runs_record_shows_whether_its_label_was_made(marks, verdict, registry, pinned):
    ledger = pinned("team")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        s.record("images.made", {"marks": marks})
    (owed,) = from_record(ledger, s.run)
    assert (owed.obligation, owed.verdict) == ("label", verdict)


def test_a_runs_record_shows_whether_its_head_is_kept_outside(registry, pinned):
    ledger = pinned("regulated")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        s.record("images.made", {"marks": ["label", "watermark", "c2pa"]})
    found = {o.obligation: o.verdict for o in from_record(ledger, s.run)}
    assert found.pop("outside_memory") is Verdict.INCONCLUSIVE
    assert set(found.values()) == {Verdict.PASS}
    ledger.append("checkpoint.kept", facts={"size": len(ledger)})
    assert {o.verdict for o in from_record(ledger, s.run)} == {Verdict.PASS}


def test_marks_may_depend_on_settings(registry, pinned):
    class Configured(Marks):
        MARKS = staticmethod(lambda: ("label",))

    registry.register(Configured(), "configured")
    with session(pinned(), registry, ReferenceBackend()) as s:
        s.execute(request())
        assert s.context.marks == ("label",)


def test_marks_that_were_made_later_count_for_their_images_and_no_others(registry, pinned):
    ledger = pinned("team")
    with session(ledger, registry, ReferenceBackend(), activity="generate", context={"purpose": "publication"}) as s:
        s.execute(request())
        first, second = (s.record("images.made", {"marks": []}).index for _ in range(2))
    for entry, verdict in ((first, Verdict.FAIL), (second, Verdict.PASS)):
        ledger.append("images.marked", facts={"of": {"run": s.run, "entry": entry}, "layers": [{"layer": "label"}]})
        assert [o.verdict for o in from_record(ledger, s.run)] == [verdict]
