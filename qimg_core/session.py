"""One run, and the single road to a device: request -> plan -> admit -> submit -> record (floor 6).

Everything that a run depends on is given to it: ledger, seed, devices, budget, plugins. Training,
generating and replaying all pass here. Imports floors 0 to 5.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve

from qimg_core.admission import Context
from qimg_core.admission_words import UNSTATED
from qimg_core.admissions import Admissions
from qimg_core.admitting import opening_facts
from qimg_core.backend import Backend
from qimg_core.budget import Budget, Spending
from qimg_core.capabilities import GradientMethod
from qimg_core.errors import (
    AdmissionDenied,
    BudgetExceeded,
    ConfigurationError,
    LedgerCorrupt,
    OutsideMemoryError,
    QimgError,
    UnknownCost,
)
from qimg_core.executing import Executed, execute_local, execute_remote, is_local, record_of
from qimg_core.execution import Result
from qimg_core.jobs import Polling
from qimg_core.jobs.breaker import Breaker
from qimg_core.jobs.resuming import Resumed, resumed
from qimg_core.ledger.memories import memories_of
from qimg_core.plugins import Registry
from qimg_core.routing import Hop, Route, may_fall_back, route, successor
from qimg_core.run_log import RunLog
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.generator import Generator
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.mitigation import Mitigation
    from qimg_core.noise import NoiseModel
    from qimg_core.proposals import Proposals

log = logging.getLogger("qimg")

REFUSALS = (AdmissionDenied, BudgetExceeded, UnknownCost)  # nothing was sent

Activity = Literal["execute", "train", "generate", "replay"]


class Session:
    """One run.

    Args:
        ledger: a folder (made when first needed), an open ledger, a URI that a plugin understands, or
            None to keep the log in memory.
        seed: root of every seed of the run; None draws one and records it.
        backend: the device asked for: a name, a `Hop` with its limits (or its text, such as
            ``ibm:ibm_fez[within=600]``), or a driver.
        fallback: devices to try next, in order. Empty: none.
        shots: default for requests that generators make; None for exact numbers.
        noise: default noise model for the same.
        mitigation: default error mitigation for the same.
        budget: what the run may spend.
        profile: "full", or "light" for local work that needs run-level entries only.
        activity: what the run is for.
        context: what the caller states (purpose, sensitivity, consent, region); claims, not facts.
        registry: the plugins; None discovers the installed ones.
        polling: how to wait for remote jobs.
        resume: a run id: go on with that run of the same ledger. It keeps its id and seed; jobs that it
            sent are found again, results that it had are read from the ledger, nothing is paid twice.
        proposals: "off"; "keep" stores the numbers of every request for later use; "reuse" takes them
            from the ledger where the very same request has been executed before, and says so.
        breaker: counts the failures of providers; share one between sessions of a process.
    """

    def __init__(
        self,
        ledger: Ledger | str | Path | None = None,
        *,
        seed: int | None = None,
        backend: str | Hop | Backend = "simulator",
        fallback: Sequence[str | Hop] = (),
        shots: int | None = None,
        noise: NoiseModel | None = None,
        mitigation: Mitigation | None = None,
        budget: Budget | None = None,
        profile: Literal["full", "light"] = "full",
        activity: Activity = "execute",
        context: Mapping[str, str] | None = None,
        registry: Registry | None = None,
        polling: Polling | None = None,
        resume: str | None = None,
        proposals: Literal["off", "keep", "reuse"] = "off",
        breaker: Breaker | None = None,
    ) -> None:
        if shots is not None and shots < 1:
            raise ConfigurationError(f"shots: wanted 1 or more, or None for exact numbers, got {shots}")
        if profile not in ("full", "light"):
            raise ConfigurationError(f"profile: wanted 'full' or 'light', got {profile!r}")
        if proposals not in ("off", "keep", "reuse"):
            raise ConfigurationError(f"proposals: wanted 'off', 'keep' or 'reuse', got {proposals!r}")
        self.registry = registry if registry is not None else Registry()
        self.breaker = breaker or Breaker()
        self._backends: dict[str, Backend] = {}
        first = backend.name if isinstance(backend, Backend) else backend
        self.hops = tuple(h if isinstance(h, Hop) else Hop.parse(h) for h in (first, *fallback))
        if isinstance(backend, Backend):
            self._backends[backend.name] = backend
        for hop in () if isinstance(backend, Backend) else self.hops:
            self.registry.spec("backend", hop.backend)  # an unknown name is an error before anything is written
        self.resumed: Resumed | None = None
        owned = isinstance(ledger, (str, Path))
        outside = memories_of(ledger, self.registry)  # governed mode is refused before anything is written
        if resume is not None:
            self.resumed, ledger = resumed(ledger, resume, self.registry, seed=seed, backend=self.hops[0].backend)
            seed = self.resumed.seed
        now = dt.datetime.now(dt.UTC)
        self.run = resume or f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        self.seed = secrets.randbits(62) if seed is None else int(seed)
        self.shots, self.noise_model, self.mitigation, self.profile = shots, noise, mitigation, profile
        self.activity: Activity = activity
        self.context = Context(run=self.run, activity=activity, **(context or {}))  # type: ignore[arg-type]
        self.polling = polling or Polling()
        self.proposals = proposals
        self.known_proposals: Proposals | None = None
        self.spending = Spending(budget or Budget())
        self.weights = UNSTATED  # digest of the weights that a model of this run was last loaded from
        self._admissions = Admissions(self)
        self._lock = threading.RLock()
        self.log = RunLog(
            ledger,
            self.run,
            self.registry,
            light=profile == "light",
            opening=self._opening,
            again=self.resumed is not None,
            owned=owned,
            outside=outside,
        )
        self._ordinal = 0

    @property
    def chain(self) -> tuple[str, ...]:
        """Names of the device asked for and of the fallbacks, in order."""
        return tuple(hop.backend for hop in self.hops)

    # -- the road ---------------------------------------------------------------------------

    def plan(self, request: ExecutionRequest, *, gradient: GradientMethod | None = None) -> Plan:
        """What running ``request`` would do and cost. Pure: sends nothing, writes nothing."""
        if request.mitigation is not None:
            from qimg_core.mitigated import mitigated_plan

            return mitigated_plan(self, request)
        return self._route(request, gradient)[1].plan

    def execute(self, request: ExecutionRequest, *, gradient: GradientMethod | None = None, label: str = "") -> Result:
        """Plan, admit, submit, wait, record.

        Args:
            request: numpy in, numpy out; torch tensors in, tensors out in the same graph.
            gradient: the method a caller's derivative relies on; recorded.
            label: which part of a model asked, for the record.

        Raises:
            CapabilityError, PolicyError: nothing was sent.
            BackendError, JobError: see `qimg_core.errors`; the intent is in the ledger.
        """
        if request.mitigation is not None:
            from qimg_core.mitigated import execute_mitigated

            return execute_mitigated(self, request, label)
        return self.execute_as(request, gradient, label, self.next_ordinal())

    async def aexecute(
        self, request: ExecutionRequest, *, gradient: GradientMethod | None = None, label: str = ""
    ) -> Result:
        """`execute` in a thread: several may be awaited together. Ordinals follow the order of the calls."""
        import asyncio

        if request.mitigation is not None:
            return await asyncio.to_thread(self.execute, request, gradient=gradient, label=label)
        ordinal = self.next_ordinal()
        return await asyncio.to_thread(self.execute_as, request, gradient, label, ordinal)

    def vjp(self, request: ExecutionRequest, cotangent: Any, *, label: str = "") -> tuple[Any, Any]:
        """Derivatives of a loss through one exact request, on a device that claims adjoint gradients.

        Args:
            request: numpy arrays, no shots.
            cotangent: float64 (rows, measurement.width): derivative of the loss by each number of the result.
            label: for the record.

        Returns:
            derivatives by inputs (rows, n_inputs), and by weights in their shape.

        Raises:
            CapabilityError: the device does not claim adjoint gradients.
        """
        from qimg_core.executing import execute_vjp

        key, found = self._route(request, GradientMethod.ADJOINT)
        while True:
            try:
                with self._lock:
                    self._admissions.admit(key, found)
            except REFUSALS as error:
                if found.hop + 1 >= len(self.hops):
                    raise
                found = self._fall_back(found, GradientMethod.ADJOINT, error)
                key = (key, found.hop)
            else:
                break
        ordinal = self.next_ordinal()
        executed, out = execute_vjp(found, request, cotangent)
        self._add(found, executed, request, GradientMethod.ADJOINT, label, ordinal)
        return out

    def next_ordinal(self) -> int:
        """The number of the next request of this run."""
        with self._lock:
            ordinal, self._ordinal = self._ordinal, self._ordinal + 1
            return ordinal

    def execute_as(
        self,
        request: ExecutionRequest,
        gradient: GradientMethod | None,
        label: str,
        ordinal: int,
        mitigation: str | None = None,
    ) -> Result:
        """`execute` one plain request under a number that was drawn before; ``mitigation`` is its role in one."""
        key, found = self._route(request, gradient)
        while True:
            try:
                with self._lock:
                    self._admissions.admit(key, found)
                executed = self._run(found, ordinal)
            except QimgError as error:
                allowed = isinstance(error, REFUSALS) or may_fall_back(error)
                if not allowed or found.hop + 1 >= len(self.hops):
                    raise
                found = self._fall_back(found, gradient, error)
                key = (key, found.hop)
            else:
                break
        return self._add(found, executed, request, gradient, label, ordinal, mitigation)

    def _run(self, found: Route, ordinal: int) -> Executed:
        """On the device, or from the ledger where the very same request has been executed before."""
        if self.proposals == "reuse":
            from qimg_core.reuse import remembered

            with self._lock:
                kept = remembered(self, found)
            if kept is not None:
                return kept
        if is_local(found):
            return execute_local(found, self.run, ordinal, full=self.profile == "full")
        return execute_remote(self, found, ordinal)

    def _add(
        self,
        found: Route,
        executed: Executed,
        request: ExecutionRequest,
        gradient: GradientMethod | None,
        label: str,
        ordinal: int,
        mitigation: str | None = None,
    ) -> Result:
        record = record_of(
            found,
            executed,
            ordinal=ordinal,
            label=label,
            asked=self.hops[0].backend,
            gradient=gradient,
            full=self.profile == "full",
            mitigation=mitigation,
        )
        with self._lock:
            if self.proposals != "off":
                from qimg_core.reuse import remember

                remember(self, record, request, executed.data)
            self.log.recorder.add(record)
            if executed.handles or executed.reused:
                self.flush()
        return Result(data=executed.data, request=request, record=record)

    def _fall_back(self, found: Route, gradient: GradientMethod | None, error: QimgError) -> Route:
        """Go on with the next device of the chain, loudly."""
        failures = (*found.failures, error)
        new = route(
            found.plan.request,
            self.hops,
            self._reachable,
            gradient,
            self.spending.budget,
            start=found.hop + 1,
            failures=failures,
        )
        reason = f"{type(error).__name__}: {error.message}"
        old, taken = found.backend.name, new.backend.name
        with self._lock:
            if not isinstance(error, REFUSALS) or self._admissions.left(old, taken, reason):
                log.warning("%s -> %s: %s", old, taken, reason)
                self.record("route.fell_back", {"from": old, "to": taken, "reason": reason})
        return new

    def gradient_for(self, request: ExecutionRequest) -> GradientMethod:
        """Backprop or adjoint for exact numbers where the asked device claims it, else parameter shift."""
        asked = self.backend(self.chain[0])
        larger = successor(asked, request)
        claimed = (asked if larger is None else self.backend(larger)).capabilities.gradients
        if request.shots is None and request.mitigation is None:
            if GradientMethod.BACKPROP in claimed:
                return GradientMethod.BACKPROP
            if GradientMethod.ADJOINT in claimed and request.noise is None:
                return GradientMethod.ADJOINT
        return GradientMethod.PARAMETER_SHIFT

    def _route(self, request: ExecutionRequest, gradient: GradientMethod | None) -> tuple[object, Route]:
        key = (request.structure, gradient)
        old = self._admissions.route(key)
        if old is not None and old.plan.lowered is old.plan.request:  # nothing of the plan depends on the numbers
            return key, evolve(old, plan=evolve(old.plan, request=request, lowered=request))
        return key, route(request, self.hops, self._reachable, gradient, self.spending.budget)

    def _reachable(self, name: str) -> Backend:
        if len(self.hops) > 1 and self.breaker.is_open(name):
            self.breaker.check(name)
        return self.backend(name)

    # -- devices, seeds ----------------------------------------------------------------------

    def backend(self, name: str | None = None) -> Backend:
        """The driver of a name (default: the device asked for), made once."""
        name = name or self.chain[0]
        if name not in self._backends:
            self._backends[name] = self.registry.open_backend(name)
        return self._backends[name]

    def seed_for(self, *names: str | int) -> int:
        """A seed for a named purpose, derived from the run's root seed."""
        return derive_seed(self.seed, *names)

    def generator(
        self, name: str, *, weights: str | Path | None = None, config: Any = None, **changes: Any
    ) -> Generator:
        """A generator bound to this session: see `qimg_core.generation.make_generator`."""
        from qimg_core.generation import make_generator

        model = make_generator(self, name, weights=weights, config=config, **changes)
        self.weights = UNSTATED if model.saved is None else model.saved.digest
        return model

    # -- the record --------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The log, opened when it is first needed."""
        return self.log.ledger

    def put(self, data: bytes) -> str:
        """Store an artefact; returns its digest."""
        return self.log.put(data)

    def record(
        self,
        kind: str,
        facts: Mapping[str, Any],
        *,
        claims: Mapping[str, Any] | None = None,
        gaps: Sequence[tuple[str, str]] = (),
    ) -> Entry:
        """Append an entry of this run; durable on return."""
        return self.log.record(kind, facts, claims=claims, gaps=gaps)

    def record_many(self, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Append several entries of this run in one commit; durable on return."""
        with self._lock:
            self.log.record_many(entries)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """A training step ended: its loss joins the record of its executions."""
        self.log.start()
        self.log.recorder.step(step, dict(metrics))

    def flush(self) -> None:
        """Write collected executions now."""
        self.log.recorder.flush()

    @property
    def device_kinds(self) -> frozenset[str]:
        """Kinds of device that have run so far in this run."""
        return self.log.recorder.tally.kinds

    def _opening(self) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]:
        return opening_facts(self)

    def close(self, status: str | None = None, error: str | None = None) -> None:
        """End the run: flush, last entry, signed checkpoint. Nothing where nothing was done."""
        try:
            self.log.close(status, error)
        finally:
            for backend in self._backends.values():
                backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if t is None or e is None:
            self.close()
            return
        status = (
            ("interrupted", "interrupted by the user") if issubclass(t, KeyboardInterrupt) else ("failed", t.__name__)
        )
        try:
            self.close(*status)
        except (OutsideMemoryError, LedgerCorrupt) as late:
            e.add_note(late.message)  # the first error is what the caller needs to see; this one is in the record
