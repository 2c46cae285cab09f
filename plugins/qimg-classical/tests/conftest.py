"""What the tests of the classical path share: circuits, and proposals recorded from the simulator."""

import datetime as dt

import numpy as np
import pytest

from qimg_classical.training_set import choose, table
from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, pauli
from qimg_core.ledger import MemoryLedger
from qimg_core.proposals import KEPT, Proposals, keep
from qimg_simulator.backend import SimulatorBackend

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)


class Lab:
    """A ledger in memory, and ways to fill it."""

    def __init__(self, ledger=None):
        self.ledger = MemoryLedger() if ledger is None else ledger  # an empty one is false

    @staticmethod
    def turn():
        """One wire, one angle: <Z> = cos(x)."""
        b = CircuitBuilder(1)
        return b.ry(0, b.input("x")).build()

    @staticmethod
    def mixed():
        """Three wires, two inputs that come several times and in controlled gates, one weight."""
        b = CircuitBuilder(3)
        x, y, w = b.input("x"), b.input("y"), b.weight("w")
        b.ry(0, x).gate("rx", 1, angles=(y * 2,)).cx(0, 1).rz(1, w).gate("crx", 1, 2, angles=(x,))
        return b.ry(2, x + 0.3).gate("rzz", 0, 2, angles=(y,)).gate("h", 0).cx(2, 0).build()

    @staticmethod
    def request(circuit, inputs, measurement=None, weights=None, **changes):
        weights = np.linspace(0.2, 0.9, circuit.n_weights) if weights is None else weights
        measurement = measurement or Expectation([pauli(f"Z{circuit.n_wires - 1}")])
        return ExecutionRequest(circuit=circuit, inputs=inputs, weights=weights, measurement=measurement, **changes)

    def record(self, *requests, backend=None):
        """Execute and keep, as a session with proposals does."""
        device = backend or SimulatorBackend()
        with Session(self.ledger, seed=1, backend=device, registry=Registry(discover=False)) as session:
            for asked in requests:
                result = session.execute(asked)
                facts = keep(session.put, asked, result.record, result.data, run=session.run, at=NOON)
                session.record(KEPT, facts)

    def table(self, **wanted):
        return table(choose(Proposals(self.ledger), wanted), self.ledger.origin)

    def learn(self, circuit, n, measurement=None, *, seed=5, per=100, **changes):
        """A training set of ``n`` random inputs, kept in several proposals."""
        x = np.random.default_rng(seed).uniform(-2 * np.pi, 2 * np.pi, (n, circuit.n_inputs))
        parts = range(0, n, per)
        self.record(*(self.request(circuit, x[k : k + per], measurement, seed=k, **changes) for k in parts))
        return self.table()


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture(scope="module")
def make_lab():
    return Lab
