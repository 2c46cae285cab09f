"""For tests: a run in a process of its own that makes requests when told.

``python stopped_run.py LEDGER DEVICE FALLBACK``: a line on stdin is one request; the device that ran it is printed, or
the error. An empty line ends the run. A device ``fake-provider`` keeps its jobs in the process.
"""

import sys

import numpy as np

import qimg_rollout.plugin
from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, hookimpl, pauli
from qimg_core.errors import QimgError
from qimg_core.hooks import BackendSpec
from qimg_core.jobs import Polling
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.toy import ToyPlugin


class Other(ReferenceBackend):
    """The same device under another name."""

    name = "other"


class Cloud:
    @hookimpl
    def qimg_backends(self):
        return [
            BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider", remote=True, metered=True),
            BackendSpec(name="other", target="__main__:Other"),
        ]


def request(seed=3):
    """One qubit, two rows, ten shots."""
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    x = np.linspace(0.1, 1.3, 2)[:, None]
    measured = Expectation([pauli("Z0")])
    return ExecutionRequest(circuit=circuit, inputs=x, weights=np.zeros(0), measurement=measured, shots=10, seed=seed)


def registry():
    """The toy, a fake provider, and the blocks."""
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(Cloud(), "cloud")
    found.register(qimg_rollout.plugin, "rollout")
    return found


def work(ledger, device, *fallback):
    """Serve requests until an empty line."""
    quiet = Polling(sleep=lambda s: None)
    with Session(ledger, seed=1, backend=device, fallback=fallback, registry=registry(), polling=quiet) as session:
        print(session.run, flush=True)
        for number, line in enumerate(sys.stdin):
            if not line.strip():
                break
            try:
                result = session.execute(request(seed=number))
                print(result.record.ran_backend, result.record.fallback_reason or "", flush=True)
            except QimgError as error:
                print("error", error.message, flush=True)


if __name__ == "__main__":
    work(*sys.argv[1:])
