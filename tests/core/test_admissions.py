"""What a run remembers of its admissions: when policies are asked again, and how often a fallback is told."""

import numpy as np
import pytest

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, hookimpl, pauli
from qimg_core.admission import Decision
from qimg_core.hooks import BackendSpec
from qimg_core.testing import ReferenceBackend


class First(ReferenceBackend):
    name = "first"


class Second(ReferenceBackend):
    name = "second"


class Gate:
    """Two devices, of which the first is refused while it is ``shut``."""

    def __init__(self):
        self.shut, self.standing, self.asked = True, "1", []

    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name=n, target="qimg_core.testing:ReferenceBackend") for n in ("first", "second")]

    @hookimpl
    def qimg_admit(self, plan, context):
        self.asked.append(context.asked.facts["backend"])
        refused = self.shut and self.asked[-1] == "first"
        return Decision(verdict="deny" if refused else "allow", policy="gate", reasons=("shut",) if refused else ())

    @hookimpl
    def qimg_standing(self, ledger):
        return self.standing


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def session(gate):
    registry = Registry(discover=False)
    registry.register(gate, "gate")
    with Session(None, seed=1, backend="first", fallback=["second"], registry=registry) as session:
        session._backends.update(first=First(), second=Second())
        yield session


def turn(session, x=0.3, rows=2):
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    asked = ExecutionRequest(
        circuit=circuit, inputs=np.full((rows, 1), x), weights=np.zeros(0), measurement=Expectation([pauli("Z0")])
    )
    return session.execute(asked)


def fell(session):
    return [e.facts["reason"] for e in session.ledger.entries(kind="route.fell_back")]


def test_a_fallback_from_a_refused_device_is_told_once_and_again_when_the_standing_changes(session, gate, caplog):
    for step in range(20):
        turn(session, x=step / 20)
    assert len(fell(session)) == 1
    assert len(caplog.records) == 1
    gate.standing = "2"
    turn(session)
    turn(session)
    assert len(fell(session)) == 2
    gate.shut, gate.standing = False, "3"
    assert turn(session).record.fallback_reason is None
    gate.shut, gate.standing = True, "4"
    turn(session)
    assert len(fell(session)) == 3


def test_every_execution_says_that_it_is_a_fallback(session):
    records = [turn(session, x=step / 20).record for step in range(3)]
    assert all("shut" in r.fallback_reason for r in records)


def test_free_work_here_is_asked_about_again_only_when_the_standing_changes(session, gate):
    gate.shut = False
    for step in range(5):
        turn(session, x=step / 5)
    assert len(gate.asked) == 1
    gate.standing = "2"
    turn(session)
    turn(session)
    assert len(gate.asked) == 2
