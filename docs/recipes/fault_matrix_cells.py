"""One cell of the fault matrix: a session, a fake provider, one fault, and what became of the job (imports qimg).

Used by `fault_matrix`, which prints the table, and by the tests, which assert it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, evolve, frozen

from qimg_core import Budget, CircuitBuilder, ExecutionRequest, Probabilities, Registry, Session
from qimg_core.errors import QimgError
from qimg_core.jobs import Breaker, Polling
from qimg_core.ledger.opening import open_ledger
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.faults import Fault, Faults, Point
from qimg_core.testing.statistics import multinomial_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.backend import Backend

PATIENCE = 0.6
"""Seconds after which a client gives up where the server hangs."""
QUICK = Polling(sleep=lambda _: None, attempts=3, reads=3, looks=2)
LASTING = 1000
SHOTS = 400


def request() -> ExecutionRequest:
    """Two qubits, one row, whose four probabilities are all different, read in the other order."""
    b = CircuitBuilder(2)
    circuit = b.ry(0, b.input("x")).cx(0, 1).ry(1, 0.7).build()
    measured = Probabilities((1, 0))
    return ExecutionRequest(
        circuit=circuit, inputs=np.array([[1.1]]), weights=np.zeros(0), measurement=measured, shots=SHOTS, seed=3
    )


def not_applicable(provider: str, fault: Fault, point: Point) -> str | None:
    """Why a cell makes no sense, or None."""
    if point is Point.BEFORE_SEND and fault in (Fault.UNKNOWN_STATE, Fault.PARTIAL):
        return "no job, so no answer that could be so"
    if point is Point.BEFORE_SEND and fault is Fault.RECALIBRATED:
        return "no job runs yet"
    if point is Point.AFTER_ACCEPT and fault is Fault.UNKNOWN_STATE and provider != "ionq":
        return "the acknowledgement carries no state"
    if point is Point.DURING_DOWNLOAD and fault is Fault.UNKNOWN_STATE:
        return "a result carries no state"
    return None


def driver(name: str, patience: float | None = None) -> Backend:
    """A new driver of "ibm", "braket" or "ionq", which reads from the environment where the provider is.

    Args:
        name: of the provider.
        patience: seconds for one answer, or the driver's own.
    """
    if name == "ibm":
        from qimg_ibm.remote import IBMBackend

        return IBMBackend("ibm_manila") if patience is None else IBMBackend("ibm_manila", timeout=patience)
    if name == "braket":
        from qimg_braket.cloud import CloudBackend

        return CloudBackend("forte-1") if patience is None else CloudBackend("forte-1", read_timeout=patience)
    from qimg_ionq.backend import IonQBackend

    return IonQBackend("qpu.forte-1") if patience is None else IonQBackend("qpu.forte-1", timeouts=(5.0, patience))


@define
class Provider:
    """A fake server.

    Args:
        name: "ibm", "braket" or "ionq".
        fake: running.
        noise: share of the uniform distribution in what it samples from.
    """

    name: str
    fake: Any
    noise: float = 0.0

    def reset(self) -> None:
        """A provider as new: no jobs, no faults."""
        self._jobs.clear()
        self.fake.seen.clear()
        self.fake.faults = Faults()
        if self.name == "braket":
            self.fake.files.clear()

    @property
    def _jobs(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fake.tasks if self.name == "braket" else self.fake.jobs
        return found

    @property
    def jobs(self) -> int:
        """Jobs that it has accepted."""
        return len(self._jobs)

    def gave(self, data: np.ndarray[Any, Any]) -> bool:
        """Are these (1, 4) frequencies such as the fake's distribution gives? One right result in a million is not."""
        exact = ReferenceBackend().run(evolve(request(), shots=None, seed=None)).data[0]
        counts = np.rint(data[0] * SHOTS).astype(int)
        p = (1 - self.noise) * exact + self.noise / len(exact)
        return bool(counts.sum() == SHOTS and multinomial_test(counts, p, seed=1).p_value > 1e-6)


@contextlib.contextmanager
def provider(name: str, **options: Any) -> Iterator[Provider]:
    """A fake of it with these options, and the environment that leads drivers there."""
    noise, arn = 0.0, ""
    if name == "ibm":
        from qimg_ibm.testing import FakeIBM

        fake: Any = FakeIBM(**options)
    elif name == "braket":
        from qimg_braket.testing import FORTE, FakeBraket

        fake = FakeBraket(**options)
        arn = FORTE
    else:
        from qimg_ionq.testing import FakeIonQ
        from qimg_ionq.testing.machine import NOISE

        fake, noise = FakeIonQ(**options), NOISE
    before = dict(os.environ)
    with fake:
        variables: dict[str, str] = fake.environment if name == "ionq" else fake.environment()
        os.environ.update(variables, FAULT_MATRIX_ARN=arn)
        try:
            yield Provider(name, fake, noise)
        finally:
            os.environ.clear()
            os.environ.update(before)


@frozen(kw_only=True)
class Outcome:
    """What became of one cell.

    Args:
        error: name of the typed error that the first session ended with, or "".
        advice: what it says to do.
        jobs: accepted after the first session; ``finally_jobs``: after the resumed one.
        adopted: the job was found again by its key or in the ledger.
        right: the result is of the fake's distribution.
        drift: the record says that the calibration changed.
        verified: the ledger agrees with itself.
        struck: how often the fault struck.
    """

    error: str = ""
    advice: str = ""
    jobs: int
    finally_jobs: int
    adopted: bool
    right: bool
    drift: bool
    verified: bool
    struck: int

    @property
    def ok(self) -> bool:
        """One job, its right result; an error on the way says what to do."""
        done = self.finally_jobs == 1 and self.right and self.verified and self.struck > 0
        return done and self.jobs <= 1 and (not self.error or bool(self.advice))

    def __str__(self) -> str:
        if not self.ok:
            return f"**wrong**: {self.jobs} jobs, then {self.finally_jobs}; {self.error} {self.advice}"
        end = "one job, result" + (" adopted" if self.adopted else "") + (", drift recorded" if self.drift else "")
        return f"{('no', 'one')[self.jobs]} job, `{self.error}`; resumed: {end}" if self.error else end


def cell(at: Provider, fault: Fault, point: Point, times: int = 1) -> Outcome:
    """Run one session into a fault; after an error, go on with the run when the provider is well again."""
    at.reset()
    at.fake.faults.add(fault, point, times)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "runs"
        error, result, run = None, None, ""
        try:
            with session_at(at.name, ledger, PATIENCE if fault is Fault.HANG else None) as session:
                run = session.run
                result = session.execute(request())
        except QimgError as caught:
            error = caught
        jobs, struck = at.jobs, len(at.fake.faults.struck)
        at.fake.faults = Faults()
        if result is None:
            with session_at(at.name, ledger, resume=run) as session:
                result = session.execute(request())
        with open_ledger(ledger, Registry(discover=False), create=False, read_only=True) as log:
            kinds = [e.kind for e in log.entries()]
            verified = log.verify().ok
    return Outcome(
        error=type(error).__name__ if error else "",
        advice=error.hint if error else "",
        jobs=jobs,
        finally_jobs=at.jobs,
        adopted="job.adopted" in kinds or bool(error and jobs),
        right=at.gave(result.data),
        drift=bool(result.record.drift),
        verified=verified,
        struck=struck,
    )


def session_at(name: str, ledger: Path, patience: float | None = None, **more: Any) -> Session:
    """A new session with a new driver, without pauses."""
    seed: dict[str, Any] = {} if "resume" in more else {"seed": 1}
    return Session(
        ledger,
        backend=driver(name, patience),
        registry=Registry(discover=False),
        polling=QUICK,
        budget=Budget(max_cost=Decimal(1000)),
        breaker=Breaker(after=LASTING),
        **seed,
        **more,
    )
