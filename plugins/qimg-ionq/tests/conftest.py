"""A fake IonQ for each test, and circuits that no wrong order of bits survives."""

import numpy as np
import pytest
from attrs import evolve

from qimg_core import CircuitBuilder, ExecutionRequest, Registry
from qimg_core.credentials import Credential, FromCallable
from qimg_core.job import Intent
from qimg_core.jobs.polling import Polling
from qimg_core.routing import plan_for
from qimg_core.testing import ReferenceBackend
from qimg_ionq import plugin
from qimg_ionq.backend import IonQBackend
from qimg_ionq.testing import FakeIonQ

QUIET = Polling(sleep=lambda s: None)


@pytest.fixture
def fake():
    with FakeIonQ() as server:
        yield server


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(plugin, "ionq")
    return found


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    """No key of the machine's owner is read."""
    for name in ("QIMG_IONQ_API_KEY", "IONQ_API_KEY"):
        for end in ("", "_FILE", "_COMMAND"):
            monkeypatch.delenv(name + end, raising=False)
    for end in ("URL", "TLS_CA", "TLS_CERTIFICATE", "TLS_KEY"):
        monkeypatch.delenv(f"QIMG_IONQ_{end}", raising=False)


@pytest.fixture
def at_fake(fake, monkeypatch):
    """The environment leads the driver to the fake."""
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture(autouse=True)
def closed_drivers(monkeypatch):
    """Whatever driver a test makes is closed after it."""
    made, real = [], IonQBackend.__init__

    def init(self, *args, **kwargs):
        real(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(IonQBackend, "__init__", init)
    yield
    for driver in made:
        driver.close()


def zoo(n):
    """Rotations of every kind on each wire, every two-wire gate, inputs and weights; no symmetry is left."""
    b = CircuitBuilder(n)
    x, w = b.input("x"), b.weight("w")
    for k in range(n):
        b.ry(k, x * (0.7 + 0.3 * k) + 0.2).rz(k, w * (1.1 - 0.2 * k) + -0.4).rx(k, 0.3 + 0.5 * k)
    for i, name in enumerate(("cx", "swap", "cz")):
        b.gate(name, i % n, (i + 1) % n)
    for i, name in enumerate(("rxx", "ryy", "rzz", "crx", "cry", "crz")):
        b.gate(name, (2 * i) % n, (2 * i + 1) % n, angles=(x * (0.4 + 0.1 * i) + -0.3,))
    b.gate("p", 0, angles=(w * 0.8,))
    for i, name in enumerate(("h", "t", "sx", "sdg", "y", "tdg", "s", "x", "z")):
        b.gate(name, i % n).ry(i % n, 0.2 + 0.1 * i)
    b.gate("ccx", n - 1, 0, 1)
    return b.build()


def request(circuit, measurement, rows=2, **changes):
    inputs = np.linspace(0.3, 1.4, rows)[:, None] * np.ones((1, circuit.n_inputs))
    weights = np.linspace(-0.6, 0.9, circuit.n_weights) if circuit.n_weights > 1 else np.full(circuit.n_weights, 0.7)
    return ExecutionRequest(circuit=circuit, inputs=inputs, weights=weights, measurement=measurement, **changes)


def reference(asked):
    """Exact numbers of the same request."""
    return ReferenceBackend().run(evolve(asked, shots=None)).data


def intent_of(asked, job=0, ordinal=0, at=""):
    return Intent(run="test-run", ordinal=ordinal, job=job, request=asked.digest, at=at)


def through(driver, asked, intent=None):
    """Plan, submit, wait, fetch: one job, no session."""
    plan = plan_for(driver, asked)
    assert plan.n_jobs == 1
    handle = driver.submit(plan, 0, intent=intent or intent_of(asked))
    for _ in range(10):
        if driver.poll(handle).state.terminal:
            break
    return handle, driver.fetch(handle)


def driver_of(fake, device="", **options):
    key = Credential(FromCallable(lambda: (fake.key, None)), purpose="IonQ API key")
    return IonQBackend(device, url=fake.base, credential=key, **options)
