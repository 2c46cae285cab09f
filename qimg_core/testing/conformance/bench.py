"""The device under test, and the short way to run a request on it (floor 8; imports routing, chunks, polling, budget).

The bench takes the same plan, intents, handles and rows as the road does, without session and ledger, so that a
failure is the driver's own. The cases of record, crashes and faults use a real `Session`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.budget import Budget, Spending
from qimg_core.capabilities import DeviceKind, MeasurementKind
from qimg_core.chunks import join
from qimg_core.errors import CapabilityError, JobCancelled, JobFailed, JobTimeout
from qimg_core.execution import ExecutionRequest
from qimg_core.job import Intent, JobState
from qimg_core.jobs.breaker import Breaker
from qimg_core.jobs.polling import Polling, read_safely
from qimg_core.measurement import Expectation, LocalStates, Measurement, Probabilities, Samples, State
from qimg_core.routing import plan_for
from qimg_core.seeds import derive_seed
from qimg_core.testing.conformance.case import NotApplicable, Undecided
from qimg_core.testing.conformance.circuits import words
from qimg_core.testing.conformance.options import CANARY, Options, PlantedSecrets
from qimg_core.testing.conformance.site import Done, Site, closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qimg_core.backend import Backend
    from qimg_core.capabilities import Capabilities
    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import Plan
    from qimg_core.job import JobHandle, JobStatus, RawResult
    from qimg_core.testing.conformance.case import Case
    from qimg_core.testing.conformance.report import CaseResult

TESTS = 100
"""Statistical tests of one run of the kit, at most: each has this part of ``alpha``."""


class Bench:
    """A device under test.

    Args:
        make: a new driver; None where `Options.server` makes it.
        options: of the kit.
    """

    def __init__(self, make: Callable[[], Backend] | None, options: Options) -> None:
        if make is None and options.server is None:
            raise TypeError("the kit needs a way to make the driver: make, or Options(server=...)")
        self._make, self.options = make, options
        self.free = make is None  # a fake provider's jobs cost nothing
        self.spending = Spending(
            Budget(allow_unknown_cost=True)
            if self.free
            else Budget(max_cost=options.max_cost, allow_unknown_cost=options.allow_unknown_cost)
        )
        self.run_id = f"conformance-{secrets.token_hex(8)}"
        self._ordinal = 0
        self.memory: dict[object, Any] = {}
        self.secrets: tuple[str, ...] = (CANARY,)

    def try_case(self, case: Case[Bench]) -> CaseResult:
        """One case, with the credentials replaced or known."""
        with PlantedSecrets(self.options.secrets, plant=self.free) as planted:
            self.secrets = tuple({CANARY, *planted.values})
            return case.run(self)

    # -- drivers ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def site(self) -> Iterator[Site]:
        """Drivers of the device, or of a new fake provider where there is no other way to make one."""
        with contextlib.ExitStack() as stack:
            if self._make is not None:
                found = Site(self._make)
            else:
                found = stack.enter_context(self.fake())
            stack.callback(closed, found.opened)
            yield found

    @contextlib.contextmanager
    def fake(self) -> Iterator[Site]:
        """Drivers of a new fake provider.

        Raises:
            Undecided: the device is remote, and there is no fake.
        """
        provider = self.options.server
        if provider is None:
            raise Undecided("a remote device without a fake provider: give Options(server=Provider(...))")
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(provider.start())
            found = Site(lambda: provider.connect(server), server)
            stack.callback(closed, found.opened)
            yield found

    @cached_property
    def caps(self) -> Capabilities:
        with self.site() as site:
            return site.driver.capabilities

    @cached_property
    def name(self) -> str:
        with self.site() as site:
            return site.driver.name

    @property
    def noisy(self) -> bool:
        """Whether results are compared with a band and not to the last digit."""
        return self.options.noisy or self.caps.kind is not DeviceKind.SIMULATOR

    @property
    def rows(self) -> int:
        """Rows of an ordinary batch."""
        return 2 if self.options.quick else 3

    @property
    def alpha(self) -> float:
        """Of one statistical test."""
        return self.options.alpha / TESTS

    # -- requests --------------------------------------------------------------------------------

    def shots(self) -> int:
        """Shots of a sampled request.

        Raises:
            NotApplicable: the device does not sample.
        """
        if self.caps.shots is None:
            raise NotApplicable("the device claims no shots")
        low, high = self.caps.shots
        return max(low, min(self.options.shots, high or self.options.shots))

    def request(
        self,
        circuit: Circuit,
        measurement: Measurement,
        inputs: Any = None,
        weights: Any = None,
        *,
        sampled: bool | None = None,
        **changes: Any,
    ) -> ExecutionRequest:
        """A request as this device can have it: exact where it is analytic, else with shots and a seed.

        Args:
            circuit: to run.
            measurement: to take.
            inputs: as in `ExecutionRequest`; None for a row without inputs.
            weights: likewise; None for none.
            sampled: True for shots, False for exact numbers; None for what the device offers.
            changes: more fields of the request.
        """
        import numpy as np

        if sampled is None:
            sampled = not self.caps.analytic or isinstance(measurement, Samples)
        seed = derive_seed(self.options.seed, "request", circuit.digest, str(measurement))
        if isinstance(measurement, State):
            sampled = False
        return ExecutionRequest(
            circuit=circuit,
            inputs=np.zeros((1, 0)) if inputs is None else inputs,
            weights=np.zeros(0) if weights is None else weights,
            measurement=measurement,
            **{"shots": self.shots() if sampled else None, "seed": seed if sampled else None, **changes},
        )

    def view(self, wires: Sequence[int]) -> Measurement:
        """The measurement that says most about these wires among those that the device claims."""
        claimed = self.caps.measurements
        if MeasurementKind.PROBABILITIES in claimed:
            return Probabilities(wires)
        if MeasurementKind.SAMPLES in claimed:
            return Samples(wires)
        if MeasurementKind.LOCAL_STATES in claimed and len(wires) <= self.caps.max_window:
            return LocalStates([tuple(wires)])
        if MeasurementKind.EXPECTATION in claimed:
            return Expectation(words(wires))
        if MeasurementKind.STATE in claimed:
            return State()
        raise NotApplicable(f"the device claims no measurement of {len(wires)} wires")

    # -- running ---------------------------------------------------------------------------------

    def plan(self, driver: Backend, request: ExecutionRequest) -> Plan:
        """`plan_for`, reserved in the kit's budget.

        Raises:
            NotApplicable: the request wants wires or gates that the device does not claim.
            CapabilityError: it refuses what it claims.
        """
        try:
            plan = plan_for(driver, request)
        except CapabilityError as error:
            beyond = {m.field for m in error.mismatches} <= {"wires", "gates"}
            caps = self.caps
            unclaimed = {g.name for g in request.circuit.gates} - caps.gates
            if beyond and error.mismatches and (request.circuit.n_wires > caps.max_wires or unclaimed):
                raise NotApplicable("; ".join(str(m) for m in error.mismatches)) from error
            raise
        self.spending.reserve(plan)
        return plan

    def intents(self, plan: Plan) -> list[Intent]:
        """One per job, with keys that were never used before."""
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        at = dt.datetime.now(dt.UTC).isoformat()
        digest = plan.request.digest
        return [Intent(run=self.run_id, ordinal=ordinal, job=j, request=digest, at=at) for j in range(plan.n_jobs)]

    def carry(self, driver: Backend, plan: Plan) -> list[Done]:
        """Send every job of a plan, wait for it and fetch it."""
        done = []
        for job, intent in enumerate(self.intents(plan)):
            handle = driver.submit(plan, job, intent=intent)
            raw = self.await_result(driver, handle)
            done.append(Done(intent, handle, raw))
            if isinstance(driver, LocalBackend):
                driver.forget(handle)
        return done

    def run(self, driver: Backend, request: ExecutionRequest) -> Any:
        """The numbers of a request."""
        plan = self.plan(driver, request)
        return join(plan, [d.raw.data for d in self.carry(driver, plan)])

    def read(self, ask: Callable[[], Any], name: str = "device") -> Any:
        """A safe question, repeated as the core does it."""
        return read_safely(ask, name, self.polling, Breaker(after=10_000))

    @property
    def polling(self) -> Polling:
        """Without pauses where the provider is a fake."""
        return Polling(sleep=_no_sleep if self.free else self.options.sleep)

    def await_end(self, driver: Backend, handle: JobHandle) -> JobStatus:
        """Ask until the job is over.

        Raises:
            JobTimeout: after `Options.polls` questions.
        """
        pause = 0.05
        for _ in range(self.options.polls):
            status: JobStatus = self.read(lambda: driver.poll(handle))
            if status.state.terminal:
                return status
            self.polling.sleep(pause)
            pause = min(pause * 1.5, 10.0)
        raise JobTimeout(f"{driver.name}: the job was not over after {self.options.polls} questions")

    def await_result(self, driver: Backend, handle: JobHandle) -> RawResult:
        """Wait, then fetch.

        Raises:
            JobFailed, JobCancelled: it did not end well.
        """
        status = self.await_end(driver, handle)
        if status.state is JobState.FAILED:
            raise JobFailed(f"{driver.name}: {status.detail or 'the job failed without a reason'}")
        if status.state is JobState.CANCELLED:
            raise JobCancelled(f"{driver.name}: the job was cancelled")
        raw: RawResult = self.read(lambda: driver.fetch(handle))
        return raw

    def rng(self, *names: str | int) -> Any:
        """Draws of the kit for a named purpose."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(derive_seed(self.options.seed, *names)))

    def needs_wires(self, n: int) -> None:
        """Raises `NotApplicable` where the device has fewer."""
        if self.caps.max_wires < n:
            raise NotApplicable(f"the device claims {self.caps.max_wires} wires, this takes {n}")

    def needs(self, kind: MeasurementKind) -> None:
        """Raises `NotApplicable` where the device does not return it."""
        if kind not in self.caps.measurements:
            raise NotApplicable(f"the device does not claim {kind.value}")


def _no_sleep(seconds: float) -> None:
    """Fakes need no pauses."""
