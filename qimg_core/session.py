"""One run, and the single road to a device: request -> plan -> admit -> submit -> record (floor 6).

Everything that a run depends on is given to it: ledger, seed, devices, budget, plugins. Training,
generating and replaying all pass here. Imports floors 0 to 5.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve

from qimg_core.admission import Context, Decision
from qimg_core.backend import Backend, LocalBackend
from qimg_core.budget import Budget, Spending
from qimg_core.capabilities import GradientMethod
from qimg_core.chunks import join
from qimg_core.errors import AdmissionDenied, ConfigurationError
from qimg_core.execution import ExecutionRecord, Result, array_digest
from qimg_core.job import Intent
from qimg_core.jobs import Polling, run_jobs
from qimg_core.plugins import Registry
from qimg_core.routing import Route, route
from qimg_core.run_log import RunLog
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.generator import Generator
    from qimg_core.job import JSON
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.noise import NoiseModel

Activity = Literal["execute", "train", "generate", "replay"]


class Session:
    """One run.

    Args:
        ledger: a folder (made when first needed), an open ledger, a URI that a plugin understands, or
            None to keep the log in memory.
        seed: root of every seed of the run; None draws one and records it.
        backend: the device asked for: a name or a driver.
        fallback: devices to try next, in order. Empty: none.
        shots: default for requests that generators make; None for exact numbers.
        noise: default noise model for the same.
        budget: what the run may spend.
        profile: "full", or "light" for local work that needs run-level entries only.
        activity: what the run is for.
        context: what the caller states (purpose, sensitivity, consent, region); claims, not facts.
        registry: the plugins; None discovers the installed ones.
        polling: how to wait for remote jobs.
    """

    def __init__(
        self,
        ledger: Ledger | str | Path | None = None,
        *,
        seed: int | None = None,
        backend: str | Backend = "simulator",
        fallback: Sequence[str] = (),
        shots: int | None = None,
        noise: NoiseModel | None = None,
        budget: Budget | None = None,
        profile: Literal["full", "light"] = "full",
        activity: Activity = "execute",
        context: Mapping[str, str] | None = None,
        registry: Registry | None = None,
        polling: Polling | None = None,
    ) -> None:
        if shots is not None and shots < 1:
            raise ConfigurationError(f"shots: wanted 1 or more, or None for exact numbers, got {shots}")
        if profile not in ("full", "light"):
            raise ConfigurationError(f"profile: wanted 'full' or 'light', got {profile!r}")
        now = dt.datetime.now(dt.UTC)
        self.run = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        self.seed = secrets.randbits(62) if seed is None else int(seed)
        self.registry = registry if registry is not None else Registry()
        self.shots, self.noise_model, self.profile = shots, noise, profile
        self.activity: Activity = activity
        self.context = Context(run=self.run, activity=activity, **(context or {}))  # type: ignore[arg-type]
        self.polling = polling or Polling()
        self.spending = Spending(budget or Budget())
        self._backends: dict[str, Backend] = {}
        if isinstance(backend, Backend):
            self._backends[backend.name] = backend
            self.chain: tuple[str, ...] = (backend.name, *fallback)
        else:
            self.chain = (backend, *fallback)
            for name in self.chain:
                self.registry.spec("backend", name)  # an unknown name is an error before anything is written
        self._routes: dict[object, tuple[Route, tuple[Decision, ...]]] = {}
        self.log = RunLog(ledger, self.run, self.registry, light=profile == "light", opening=self._opening)
        self._ordinal = 0

    # -- the road ---------------------------------------------------------------------------

    def plan(self, request: ExecutionRequest, *, gradient: GradientMethod | None = None) -> Plan:
        """What running ``request`` would do and cost. Pure: sends nothing, writes nothing."""
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
        key, found = self._route(request, gradient)
        self._admit(key, found)
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
        plan, backend = found.plan, found.backend
        local = isinstance(backend, LocalBackend) and plan.cost.is_free
        full = self.profile == "full"
        identity = request.digest if full or not local else str(ordinal)
        intents = [Intent(run=self.run, ordinal=ordinal, job=job, request=identity) for job in range(plan.n_jobs)]
        if local:
            handles = [backend.submit(plan, job, intent=i) for job, i in enumerate(intents)]
            raws = [backend.fetch(h) for h in handles]
            for handle in handles:
                backend.forget(handle)  # type: ignore[attr-defined]
        else:
            handles, raws = run_jobs(backend, plan, intents, self.record, self.polling)
        data = join([raw.data for raw in raws])
        record = ExecutionRecord(
            ordinal=ordinal,
            label=label,
            asked_backend=self.chain[0],
            ran_backend=backend.name,
            device_kind=backend.capabilities.kind.value,
            fallback_reason=found.fallback_reason,
            request=identity,
            circuit=request.circuit.digest,
            inputs=request.inputs_digest if full else None,
            weights=request.weights_digest if full else None,
            output=array_digest(data) if full else None,
            rows=request.rows,
            shots=request.shots,
            seed=request.seed,
            noise=None if request.noise is None else request.noise.digest,
            gradient=None if gradient is None else gradient.value,
            precision=str(request.inputs.dtype).replace("torch.", ""),
            decisions=plan.decisions,
            jobs=tuple(handles) if not local else (),
            raw=tuple(raw.raw_digest for raw in raws if raw.raw_digest),
        )
        self.log.recorder.add(record)
        if not local:
            self.flush()
        return Result(data=data, request=request, record=record)

    def gradient_for(self, request: ExecutionRequest) -> GradientMethod:
        """Backprop for exact numbers where the asked device claims it, else parameter shift."""
        claimed = self.backend(self.chain[0]).capabilities.gradients
        if request.shots is None and GradientMethod.BACKPROP in claimed:
            return GradientMethod.BACKPROP
        return GradientMethod.PARAMETER_SHIFT

    def _route(self, request: ExecutionRequest, gradient: GradientMethod | None) -> tuple[object, Route]:
        key = (request.structure, gradient)
        cached = self._routes.get(key)
        if cached is not None:
            old = cached[0]
            if old.plan.lowered is old.plan.request:  # nothing of the plan depends on the numbers
                return key, evolve(old, plan=evolve(old.plan, request=request, lowered=request))
        return key, route(request, self.chain, self.backend, gradient)

    def _admit(self, key: object, found: Route) -> None:
        """Budget and policies; the first plan of a structure is written down before it runs."""
        plan = found.plan
        known = self._routes.get(key)
        if known is not None and plan.cost.is_free:
            if plan.request.shots is not None:
                self.spending.reserve(plan)
            return
        self.spending.reserve(plan)
        answers = self.registry.hooks.hook.qimg_admit(plan=plan, context=self.context)
        decisions = tuple(a for a in answers if a is not None)
        refused = [d for d in decisions if d.verdict != "allow"]
        if refused:
            reasons = "; ".join(f"{d.policy}: {', '.join(d.reasons) or d.verdict}" for d in refused)
            self.record("plan.refused", {"backend": plan.backend, "reasons": reasons})
            raise AdmissionDenied(f"refused before anything was sent: {reasons}", reasons=reasons)
        request = plan.request
        facts: dict[str, JSON] = {
            "backend": plan.backend,
            "device_kind": found.backend.capabilities.kind.value,
            "circuit": request.circuit.digest,
            "rows": request.rows,
            "shots": request.shots,
            "noise": None if request.noise is None else request.noise.digest,
            "gradient": None if plan.gradient is None else plan.gradient.value,
            "cost": plan.cost.to_json(),
            "decisions": list(plan.decisions),
            "fallback_reason": found.fallback_reason,
            "policies": [d.policy for d in decisions],
            "artefacts": {"circuit": self.put(request.circuit.canonical())},
        }
        snapshot = found.backend.snapshot()
        gaps = []
        if snapshot is None:
            gaps.append(("snapshot", "the driver gives no snapshot"))
        else:
            facts["snapshot"] = {"digest": snapshot.digest, "data": dict(snapshot.data)}
        self.record("plan.admitted", facts, gaps=gaps)
        self._routes[key] = (found, decisions)

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

        return make_generator(self, name, weights=weights, config=config, **changes)

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
        from qimg_core import __version__
        from qimg_core.environment import threads

        facts = {
            "schema": "qimg.run/1",
            "activity": self.activity,
            "qimg_core": __version__,
            "seed": str(self.seed),
            "backend": self.chain[0],
            "fallback": list(self.chain[1:]),
            "plugin": self._plugin_version(),
            "shots": self.shots,
            "noise": None if self.noise_model is None else self.noise_model.to_json(),
            "budget": self.spending.budget.to_json(),
            "profile": self.profile,
            "threads": threads(),
        }
        stated = {k: getattr(self.context, k) for k in ("purpose", "sensitivity", "consent", "region")}
        claims = {k: v for k, v in stated.items() if v != "unstated"}
        return facts, claims, [(k, "not stated by the caller") for k, v in stated.items() if v == "unstated"]

    def _plugin_version(self) -> str:
        try:
            return self.registry.version_of("backend", self.chain[0])
        except ConfigurationError:  # a driver object that no plugin registered
            return type(self.backend()).__module__

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
        if t is None:
            self.close()
        elif issubclass(t, KeyboardInterrupt):
            self.close("interrupted", "interrupted by the user")
        else:
            self.close("failed", t.__name__)
