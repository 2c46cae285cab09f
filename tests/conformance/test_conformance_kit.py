"""The kit on right devices, what its verdicts say, and what it does with money, secrets and doubts."""

import json
from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core.capabilities import Billing, Idempotency, MeasurementKind
from qimg_core.errors import JobFailed
from qimg_core.job import Cost, RawResult
from qimg_core.measurement import Probabilities, Samples
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_core.testing import FakeProvider, ReferenceBackend, conformance
from qimg_core.testing.conformance import CANARY, Options, Provider
from qimg_core.testing.conformance.case import Case, Checks, NotApplicable, Undecided
from qimg_core.testing.conformance.dense import expected
from qimg_core.testing.conformance.html import to_html
from qimg_core.testing.conformance.loopback_driver import LoopbackBackend, provider
from qimg_core.testing.mutants import SoundDevice
from qimg_core.verdict import Verdict

QUICK = Options(quick=True)


def not_passed(report):
    return {r.case: r.outcome.reason for r in report.results if r.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)}


def test_the_reference_passes():
    report = conformance.backend(ReferenceBackend, QUICK)
    assert not_passed(report) == {}
    assert report.verdict is Verdict.PASS
    assert report["C9.channels"].verdict is Verdict.NOT_APPLICABLE
    assert report["C6"].outcome.evidence["largest_difference"] < 1e-12
    assert report["C12"].outcome.evidence["detectable_tvd"] < 0.1


@pytest.mark.slow
def test_the_reference_passes_the_whole_kit():
    assert not_passed(conformance.backend(ReferenceBackend)) == {}


def test_the_simulator_passes_the_whole_kit():
    backend = pytest.importorskip("qimg_simulator.backend").SimulatorBackend
    report = conformance.backend(backend)
    assert not_passed(report) == {}
    applied = {r.case for r in report.results if r.verdict is Verdict.PASS}
    assert {"C2.zoo5", "C8.contracted", "C9.channels", "C9.gates", "C21.backprop"} <= applied


JOBS = ("C7", "C10", "C12", *(f"C14.{c}" for c in ("walk", "cancel", "timeout", "failure", "unknown")))
REMOTE = (
    *JOBS,
    *(f"C15.{c}_{w}" for c, w in [("before", "send"), ("before", "acknowledgement"), ("after", "acknowledgement")]),
    *("C15.before_download", "C15.during_download", "C16.submission", "C16.questions", "C16.download", "C16.drift"),
    *("C17.record", "C17.snapshot", "C18.twice", "C18.handle", "C19", "C20", "C22.account", "C13.unclaimed"),
)


@pytest.mark.parametrize("how", list(Idempotency))
def test_a_remote_driver_passes_by_its_fake_alone(how):
    cases = [c for c in REMOTE if how is Idempotency.TAG or c.startswith(("C15", "C16"))]
    report = conformance.backend(None, Options(quick=True, server=provider(idempotency=how)), cases=cases)
    assert not_passed(report) == {}
    assert len(report.results) == len(cases)
    assert all(r.verdict is Verdict.PASS for r in report.results)


@pytest.mark.slow
def test_a_remote_driver_passes_the_whole_kit():
    assert not_passed(conformance.backend(None, Options(server=provider()))) == {}


class Kept:
    """The provider in memory, as the kit wants it."""

    def __init__(self, **settings):
        self.first = FakeProvider(**settings)
        self.faults = self.first.faults

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def connect(self):
        driver = self.first.again()
        driver.faults, driver.fault = self.faults, self.first.fault
        return driver


def test_the_provider_in_memory_passes():
    def busy(kept, questions):
        kept.first.polls = questions

    def fail(kept):
        kept.first.fault = "fails"

    server = Provider(
        start=lambda: Kept(calibrated=True),
        connect=Kept.connect,
        jobs=lambda kept: len(kept.first.jobs),
        busy=busy,
        fail=fail,
        failure="cold",
    )
    known = {"C14.failure", "C14.cancel"}  # this fake has a result for jobs that did not end well
    report = conformance.backend(None, Options(quick=True, server=server), cases=REMOTE)
    assert set(not_passed(report)) <= known, not_passed(report)


# -- devices that only sample, and noisy ones ---------------------------------------------------------------


class OnlyShots(SoundDevice):
    """A device of finite shots and few measurements; `order` is what a mutant changes."""

    name = "only-shots"
    noise = None
    order = staticmethod(lambda wires: wires)

    @property
    def capabilities(self):
        kinds = {MeasurementKind.PROBABILITIES, MeasurementKind.SAMPLES, MeasurementKind.EXPECTATION}
        return evolve(super().capabilities, analytic=False, noise=False, measurements=kinds, shots=(10, 5000))

    def run(self, request):
        m = request.measurement
        if isinstance(m, (Probabilities, Samples)):
            request = evolve(request, measurement=type(m)(self.order(m.wires)))
        if self.noise is None:
            return super().run(request)
        rng = np.random.default_rng(request.seed)
        if not isinstance(m, (Probabilities, Samples)):
            exact = expected(evolve(request, noise=self.noise))
            return RawResult(data=exact, shots=request.shots, raw_digest="sha256:0")
        p = expected(evolve(request, noise=self.noise, measurement=Probabilities(request.measurement.wires)))
        counts = rng.multinomial(request.shots, p / p.sum(1, keepdims=True))
        if isinstance(m, Probabilities):
            return RawResult(data=counts / request.shots, shots=request.shots, raw_digest="sha256:0")
        k = len(m.wires)
        bits = ((np.arange(2**k)[:, None] >> np.arange(k - 1, -1, -1)) & 1).astype(np.uint8)
        drawn = np.stack([np.repeat(bits, row, axis=0) for row in counts])
        return RawResult(data=drawn, shots=request.shots, raw_digest="sha256:0")


class Swapped(OnlyShots):
    """Reads its wires from the last to the first."""

    order = staticmethod(lambda wires: wires[::-1])


class Noisy(OnlyShots):
    """Disturbs circuits by itself, as hardware does."""

    name = "noisy"
    noise = NoiseModel((NoiseRule(depolarizing(0.004)),), (0.01, 0.02))


class NoisyAndSwapped(Noisy):
    """Both."""

    order = staticmethod(lambda wires: wires[::-1])


CIRCUITS = (
    "C1",
    "C2.zoo3",
    "C3",
    "C5",
    "C7",
    "C8.signs",
    "C8.orders",
    "C8.samples",
    "C10",
    "C11",
    "C12",
    "C13.unclaimed",
)


def test_a_device_that_only_samples_is_judged_by_statistics():
    report = conformance.backend(OnlyShots, QUICK, cases=CIRCUITS)
    assert not_passed(report) == {}
    evidence = report["C2.zoo3"].outcome.evidence
    assert evidence["smallest_p"] > evidence["alpha"]
    assert 0 < evidence["detectable_tvd"] < 0.1
    report = conformance.backend(Swapped, QUICK, cases=("C2.zoo3", "C8.orders"))
    assert report.failed == ("C2.zoo3", "C8.orders")


def test_a_noisy_device_is_judged_by_a_band_and_by_what_explains_it_best():
    options = Options(quick=True, noisy=True, shots=4001)
    report = conformance.backend(Noisy, options, cases=(*CIRCUITS, "C9.channels"))
    assert not_passed(report) == {}
    evidence = report["C2.zoo3"].outcome.evidence
    assert evidence["largest_tvd"] > 0.03
    assert evidence["log_odds_of_the_nearest_fault"] > 14
    report = conformance.backend(NoisyAndSwapped, options, cases=("C2.zoo3", "C5"))
    assert report.failed == ("C2.zoo3", "C5")
    assert "explained better by wires" in report["C5"].outcome.reason
    exact = conformance.backend(Noisy, evolve(options, noisy=False), cases=("C1",))
    assert exact.failed == ("C1",)
    assert "impossible outcomes" in exact["C1"].outcome.reason


# -- money ---------------------------------------------------------------------------------------------------


class Priced(SoundDevice):
    """A device that bills, and counts what it was asked."""

    name = "priced"
    submitted = 0

    @property
    def capabilities(self):
        return evolve(super().capabilities, billing=Billing.METERED)

    def submit(self, plan, job, *, intent):
        type(self).submitted += 1
        return super().submit(plan, job, intent=intent)

    def estimate(self, plan):
        return Cost.exactly(Decimal("0.5") * plan.n_jobs, basis="half a dollar")


def test_nothing_is_spent_that_was_not_allowed():
    Priced.submitted = 0
    report = conformance.backend(Priced, QUICK, cases=("C1", "C13.unclaimed", "C22.account"))
    assert Priced.submitted == 0
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report["C1"].verdict is Verdict.INCONCLUSIVE
    assert "max_cost" in report["C1"].outcome.reason
    assert report["C22.account"].verdict is Verdict.PASS
    report = conformance.backend(Priced, evolve(QUICK, max_cost="2.20"), cases=("C1",))
    assert Priced.submitted == 4
    assert report["C1"].verdict is Verdict.INCONCLUSIVE
    assert conformance.backend(Priced, evolve(QUICK, max_cost=4), cases=("C1",)).verdict is Verdict.PASS


def test_a_remote_device_without_a_fake_is_undecided_where_faults_are_needed():
    options = Options(quick=True, max_cost=100, sleep=lambda seconds: None)
    kept = FakeProvider()
    report = conformance.backend(
        kept.again, options, cases=("C14.walk", "C15.before_send", "C16.download", "C18.handle")
    )
    assert [r.verdict.value for r in report.results] == ["pass", "inconclusive", "inconclusive", "pass"]
    assert "Provider" in report["C16.download"].outcome.reason


# -- secrets -------------------------------------------------------------------------------------------------


class Telling(LoopbackBackend):
    """Raises an error that holds its key, in the middle of an ordinary case."""

    def fetch(self, handle):
        raise JobFailed(f"401 for key {CANARY}")


def test_a_credential_never_stands_in_the_report():
    report = conformance.backend(None, Options(quick=True, server=provider(driver=Telling)), cases=("C1", "C18.twice"))
    assert report.failed == ("C1", "C18.twice")
    for text in (json.dumps(report.to_json()), "\n".join(report.lines()), to_html(report)):
        assert CANARY not in text
    assert "credential" in report["C1"].outcome.reason


def test_the_drivers_variables_hold_canaries_while_the_kit_runs(monkeypatch):
    import os

    monkeypatch.setenv("KIT_TEST_KEY", "of the user")
    monkeypatch.delenv("KIT_TEST_OTHER", raising=False)
    seen = []

    class Reading(LoopbackBackend):
        def __init__(self, *args, **more):
            seen.append((os.environ["KIT_TEST_KEY"], os.environ["KIT_TEST_OTHER"]))
            super().__init__(*args, **more)

    options = Options(quick=True, server=provider(driver=Reading), secrets=("KIT_TEST_KEY", "KIT_TEST_OTHER"))
    assert conformance.backend(None, options, cases=("C14.walk",)).verdict is Verdict.PASS
    assert set(seen) == {(CANARY, CANARY)}
    assert (os.environ["KIT_TEST_KEY"], "KIT_TEST_OTHER" in os.environ) == ("of the user", False)
    found = []

    class Local(SoundDevice):
        def snapshot(self):
            found.append(os.environ["KIT_TEST_KEY"])
            return evolve(super().snapshot(), data={"key": os.environ["KIT_TEST_KEY"]})

    report = conformance.backend(Local, Options(quick=True, secrets=("KIT_TEST_KEY",)), cases=("C20",))
    assert report.failed == ("C20",)
    assert set(found) == {"of the user"}, "without a fake the user's own credentials stay, and are looked for"
    assert "of the user" not in json.dumps(report.to_json())


# -- verdicts and reports ------------------------------------------------------------------------------------


def outcome(body):
    return Case("X1", "a case", body).run(None)


def test_how_a_case_becomes_a_verdict():
    def nothing(bench, checks):
        pass

    def bug(bench, checks):
        raise ZeroDivisionError("in the driver")

    def lost(bench, checks):
        raise JobFailed("cold qubits")

    def unclaimed(bench, checks):
        raise NotApplicable("not claimed")

    def doubtful(bench, checks):
        checks.that("this", True)
        checks.doubt("perhaps")

    def half(bench, checks):
        checks.that("this", False, "it was that")
        raise Undecided("cannot go on")

    verdicts = {body.__name__: outcome(body) for body in (nothing, bug, lost, unclaimed, doubtful, half)}
    assert {k: v.verdict.value for k, v in verdicts.items()} == {
        "nothing": "inconclusive",
        "bug": "fail",
        "lost": "fail",
        "unclaimed": "not_applicable",
        "doubtful": "inconclusive",
        "half": "fail",
    }
    assert "not qimg's" in verdicts["bug"].outcome.reason
    assert verdicts["half"].outcome.reason == "this: it was that"


def test_arrays_are_compared_by_shape_numbers_and_finiteness():
    checks = Checks()
    assert checks.near("a", [1.0, 2.0], [1.0, 2.0 + 1e-10], 1e-9)
    assert not checks.near("b", [1.0], [1.0, 2.0], 1e-9)
    assert not checks.near("c", [np.nan, 2.0], [1.0, 2.0], 1e9)
    assert not checks.near("d", [1.0, 2.0], [1.0, 2.1], 1e-9)
    assert len(checks.failures) == 3
    assert checks.outcome().verdict is Verdict.FAIL


def test_the_report_in_its_forms():
    options = evolve(QUICK, skip=("C2",))
    seen = []
    report = conformance.backend(SoundDevice, options, cases=("C1", "C2.zoo3", "C20"), progress=seen.append)
    assert [r.case for r in seen] == ["C1", "C2.zoo3", "C20"]
    assert report.verdict is Verdict.INCONCLUSIVE, "a case that is left out was not decided"
    assert report["C2.zoo3"].outcome.reason == "left out by the settings"
    with pytest.raises(KeyError):
        report["C99"]
    document = json.loads(json.dumps(report.to_json()))
    assert document["schema"] == "qimg.conformance/1"
    assert document["counted"] == {"pass": 1, "fail": 0, "inconclusive": 1, "not_applicable": 1}
    assert document["claims"]["max_wires"] == 10
    assert document["environment"]["packages"]["numpy"] == np.__version__
    assert [c["case"] for c in document["cases"]] == ["C1", "C2.zoo3", "C20"]
    page = to_html(report)
    assert page.count("<tr>") == 4
    for words in ("not applicable", "inconclusive", "X on one wire sets the bit", "numpy", "largest_difference"):
        assert words in page
    assert not any(word in page for word in ("src=", "href=", "@import", "url(")), "the page needs nothing else"


def test_the_page_escapes_what_it_is_told():
    class Nasty(SoundDevice):
        name = "<script>alert(1)</script>"

        def run(self, request):
            raise JobFailed("<img src=x onerror=alert(1)>")

    page = to_html(conformance.backend(Nasty, QUICK, cases=("C1",)))
    assert "<script>" not in page
    assert "<img" not in page


def test_the_kit_needs_a_way_to_make_the_driver():
    with pytest.raises(TypeError, match="make"):
        conformance.backend(None)
