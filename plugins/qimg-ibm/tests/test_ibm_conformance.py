"""The conformance kit on the three kinds of device of this plugin."""

import os

import pytest

from qimg_core.testing.conformance import CANARY, Options, Provider, backend
from qimg_core.verdict import Verdict
from qimg_ibm.devices import open_device
from qimg_ibm.remote import IBMBackend
from qimg_ibm.testing import FakeIBM

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]


def failed(report):
    return {r.case: r.outcome.reason for r in report.results if r.outcome.verdict is Verdict.FAIL}


def test_aer():
    assert failed(backend(lambda: open_device("aer"))) == {}


def test_a_noisy_device():
    assert failed(backend(lambda: open_device("fake_manila"), Options(noisy=True, quick=True))) == {}


def test_the_service(monkeypatch):
    def connect(fake):
        for name, value in fake.environment().items():
            if name != "QIMG_IBM_TOKEN":
                monkeypatch.setenv(name, value)
        return IBMBackend("ibm_manila", timeout=3.0)

    provider = Provider(
        start=lambda: FakeIBM(key=CANARY),
        connect=connect,
        jobs=lambda fake: len(fake.jobs),
        fail=lambda fake: setattr(fake, "fails", "the cryostat is warm"),
        busy=lambda fake, questions: setattr(fake, "polls", questions),
        failure="cryostat",
        hangs=True,
    )
    report = backend(None, Options(server=provider, secrets=("QIMG_IBM_TOKEN",)))
    assert failed(report) == {}
    assert os.environ.get("QIMG_IBM_TOKEN") != CANARY
