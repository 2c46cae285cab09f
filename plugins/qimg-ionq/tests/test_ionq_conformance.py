"""The conformance kit on every kind of device that IonQ has, each against the fake."""

import pytest

from qimg_core.testing.conformance import CANARY, Options, Provider, backend
from qimg_core.verdict import Verdict
from qimg_ionq.backend import IonQBackend
from qimg_ionq.testing import FakeIonQ

FAST = ["C1", "C2.zoo5", "C3", "C4", "C7", "C14.cancel", "C15.before_acknowledgement", "C18.twice", "C18.handle", "C19"]


def provider(device):
    return Provider(
        start=lambda: FakeIonQ(key=CANARY),
        connect=lambda fake: IonQBackend(device, url=fake.base, timeouts=(1.0, 1.0)),
        jobs=lambda fake: len(fake.jobs),
        fail=lambda fake: fake.fail_next("the ions were warm"),
        busy=lambda fake, polls: fake.keep_next_waiting(polls),
        failure="the ions were warm",
    )


def verdicts(device, cases=None):
    noisy = device != "simulator"
    options = Options(server=provider(device), quick=True, noisy=noisy, secrets=("QIMG_IONQ_API_KEY",))
    results = backend(None, options, cases=cases).results
    bad = [r for r in results if r.outcome.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)]
    assert [f"{r.case}: {r.outcome.reason}" for r in bad] == []
    return {r.case: r.outcome.verdict for r in results}


def test_wires_crashes_and_second_readings():
    assert verdicts("simulator", FAST) == dict.fromkeys(FAST, Verdict.PASS)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["simulator", "simulator:aria-1", "qpu.forte-1", "qpu.forte-1:debiasing"])
def test_every_case(device):
    found = verdicts(device)
    assert len([v for v in found.values() if v is Verdict.PASS]) > 35
