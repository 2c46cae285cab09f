"""One fake of IBM's service and one driver for the tests of this plugin, and what they do with them."""

from typing import NamedTuple

import numpy as np
import pytest

from qimg_core.circuit import CircuitBuilder
from qimg_core.execution import ExecutionRequest
from qimg_core.job import Intent
from qimg_core.jobs import Polling
from qimg_core.measurement import Probabilities
from qimg_core.routing import plan_for
from qimg_core.session import Session
from qimg_core.testing.faults import Faults

CANARY = "canary-0f8c-api-key-that-must-not-be-seen"


class Rehearsal(NamedTuple):
    """The fake and the driver, and shorthands."""

    fake: object
    driver: object
    key = CANARY

    @staticmethod
    def asked(measurement=None, rows=2, shots=400):
        """Three wires, every angle another."""
        b = CircuitBuilder(3)
        for wire in range(3):
            b.ry(wire, b.input(f"x{wire}") * 1.3 + 0.2).rz(wire, b.weight(f"w{wire}")).rx(wire, 0.3 + wire)
        circuit, rng = b.cx(0, 1).cz(1, 2).ry(0, 0.4).build(), np.random.default_rng(2)
        return ExecutionRequest(
            circuit=circuit,
            inputs=rng.normal(size=(rows, 3)),
            weights=rng.normal(size=3),
            measurement=measurement or Probabilities((2, 0, 1)),
            shots=shots,
        )

    @staticmethod
    def posts(fake):
        """Submissions that reached the fake."""
        return sum(s.method == "POST" and s.path.endswith("/jobs") for s in fake.seen)

    @staticmethod
    def run(driver, wanted=None, polling=None):
        """Through the whole road of a session; the driver stays open."""
        session = Session(None, backend=driver, polling=polling or Polling(sleep=lambda _: None, settle=1.0))
        result = session.execute(wanted or Rehearsal.asked())
        return result, list(session.ledger.entries(run=session.run))

    @staticmethod
    def intent(n=0):
        return Intent(
            run="20260101-000000-abcdef01", ordinal=n, job=0, request="sha256:1", at="2026-01-01T00:00:00+00:00"
        )

    @staticmethod
    def submitted(driver, n=0, wanted=None):
        """The handle of a job."""
        return driver.submit(plan_for(driver, wanted or Rehearsal.asked()), 0, intent=Rehearsal.intent(n))

    @staticmethod
    def done(driver, handle):
        """Its result, once it is there."""
        while not driver.poll(handle).state.terminal:
            pass
        return driver.fetch(handle)


@pytest.fixture(scope="session")
def shared():
    """One fake and one driver, for tests that leave no faults behind."""
    from qimg_ibm.remote import IBMBackend
    from qimg_ibm.testing import FakeIBM

    with FakeIBM(key=CANARY) as fake:
        with pytest.MonkeyPatch.context() as env:
            for name, value in fake.environment().items():
                env.setenv(name, value)
            driver = IBMBackend("ibm_manila")
        yield Rehearsal(fake, driver)
        driver.close()


@pytest.fixture
def ibm(shared, monkeypatch):
    """The same, as new: no jobs, no faults, nothing seen."""
    fake = shared.fake
    for name, value in fake.environment().items():
        monkeypatch.setenv(name, value)
    fake.faults, fake.fails, fake.operational, fake.polls = Faults(), "", True, 1
    fake.usage["usage_limit_reached"] = False
    fake.jobs.clear()
    fake.seen.clear()
    return shared
