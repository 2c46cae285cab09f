"""For tests: a provider whose jobs and bills lie in a folder, so that processes see one cloud, also after a kill -9.

Loaded with `runpy`; run as a program it is one worker:
``python budget_provider.py CLOUD LEDGER REQUESTS ROWS KILL HOLD``.
"""

import io
import os
import signal
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, hookimpl, pauli
from qimg_core.budget import Budget
from qimg_core.chunks import rows_of
from qimg_core.errors import BudgetExceeded
from qimg_core.hooks import BackendSpec
from qimg_core.job import JobState, JobStatus, RawResult
from qimg_core.jobs import Polling
from qimg_core.storage import write_atomic
from qimg_core.testing import FakeProvider
from qimg_core.testing.reference import ReferenceBackend

POLLING = Polling(sleep=lambda s: None, looks=1)
PRICE = Decimal("0.01")


class DiskProvider(FakeProvider):
    """One file per accepted job, and one line per job in ``bills``; the bill is written when a job is accepted."""

    def __init__(self, folder, kill=0, **options):
        super().__init__(price=PRICE, max_rows=1, polls=0, **options)
        self.folder, self.kill, self.accepted = Path(folder), kill, 0

    def submit(self, plan, job, *, intent):
        path = self.folder / intent.key
        if self.kill and self.accepted >= self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        buffer = io.BytesIO()
        np.save(buffer, ReferenceBackend().run(rows_of(plan, job)).data)
        if path.exists():
            raise AssertionError(f"{intent.key} was sent twice")
        write_atomic(path, buffer.getvalue())
        with open(self.folder / "bills", "a") as bills:
            bills.write(f"{intent.key},{PRICE},USD\n")
        self.accepted += 1
        return self._handle(intent.key + "#1")

    def find(self, intent):
        return self._handle(intent.key + "#1") if (self.folder / intent.key).exists() else None

    def poll(self, handle):
        return JobStatus(state=JobState.DONE)

    def fetch(self, handle):
        return RawResult(data=np.load(self.folder / handle.key), shots=10, sampling="native")


def registry_with(folder):
    """A registry with the budget's plugin that opens the folder's provider under the fake's name."""
    from qimg_budget import plugin

    class Here(Registry):
        def open_backend(self, name):
            return DiskProvider(folder) if name == "fake-provider" else super().open_backend(name)

    class Supplies:
        @hookimpl
        def qimg_backends(self):
            return [BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider", remote=True)]

    found = Here(discover=False)
    found.register(plugin, "budget")
    found.register(Supplies(), "supplies")
    return found


def request(rows=2, seed=3):
    """One qubit, some rows, ten shots."""
    b = CircuitBuilder(1)
    b.ry(0, b.input("x"))
    return ExecutionRequest(
        circuit=b.build(),
        inputs=np.linspace(0, 1, rows)[:, None],
        weights=np.zeros(0),
        measurement=Expectation([pauli("Z0")]),
        shots=10,
        seed=seed,
    )


def session(ledger, driver, registry, **options):
    return Session(ledger, seed=1, backend=driver, registry=registry, polling=POLLING, **options)


def work(cloud, ledger, requests, rows, kill, hold):
    """Spend until the work or the budget is at its end; prints how many requests had a result.

    After ``hold`` requests it waits for a line on stdin.
    """
    done = 0
    with session(ledger, DiskProvider(cloud, kill), registry_with(cloud), budget=Budget()) as s:
        try:
            for number in range(requests):
                if number == hold and not kill:
                    sys.stdin.readline()
                s.execute(request(rows, seed=number))
                done += 1
        except BudgetExceeded:
            pass
    print(done)


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]))
