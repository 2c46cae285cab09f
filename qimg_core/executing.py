"""One admitted plan on its device: in this process, or as jobs (floor 5; imports jobs, routing, chunks)."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.backend import LocalBackend
from qimg_core.budget import Reservation, Spend
from qimg_core.capabilities import DeviceKind
from qimg_core.chunks import join, place
from qimg_core.errors import AdmissionDenied, QimgError, ShotShortfall
from qimg_core.execution import Chunk, ExecutionRecord, array_digest
from qimg_core.job import Intent
from qimg_core.jobs import run_jobs
from qimg_core.jobs.journal import Journal
from qimg_core.jobs.outbox import Outbox

if TYPE_CHECKING:
    from qimg_core.capabilities import GradientMethod
    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.job import JobHandle, RawResult
    from qimg_core.jobs.outbox import Finished
    from qimg_core.routing import Route
    from qimg_core.session import Session

log = logging.getLogger("qimg")


@frozen(kw_only=True, eq=False)
class Executed:
    """What a device gave for one plan, before it becomes a record.

    Args:
        data: laid out as the measurement says.
        identity: digest of the request, or its ordinal where the profile keeps no digests.
        raws: the jobs' own accounts.
        handles: of remote jobs.
        chunks: where each part came from.
        drift: what of the calibration changed.
        decisions: what was done beyond the plan: adopted, read from the ledger.
        reused: the earlier execution whose numbers these are.
        kind: what made the numbers, where that is known better than from the device's claims.
    """

    data: Any
    identity: str
    raws: tuple[RawResult, ...] = ()
    handles: tuple[JobHandle, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    drift: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    reused: str | None = None
    kind: DeviceKind | None = field(default=None)


def is_local(found: Route) -> bool:
    """Computed in this process, for nothing: no job needs to be found again."""
    return isinstance(found.backend, LocalBackend) and found.plan.cost.is_free


def execute_local(found: Route, run: str, ordinal: int, *, full: bool) -> Executed:
    """Run a free plan in this process; no ledger entry stands before it."""
    plan, backend = found.plan, found.backend
    assert isinstance(backend, LocalBackend)
    identity = plan.request.digest if full else str(ordinal)
    intents = [Intent(run=run, ordinal=ordinal, job=job, request=identity) for job in range(plan.n_jobs)]
    raws = []
    for job, intent in enumerate(intents):
        handle = backend.submit(plan, job, intent=intent)
        raws.append(backend.fetch(handle))
        backend.forget(handle)
    return _executed(plan, identity, raws, intents)


def execute_remote(session: Session, found: Route, ordinal: int) -> Executed:
    """Send a plan's jobs, or find them again; everything is in the ledger before it is used.

    Raises:
        PolicyError: a shared budget refuses; nothing was sent.
        BackendError, JobError, ResultError: see `qimg_core.jobs.run_jobs`.
        ShotShortfall: a job took another number of shots than asked; its result is in the ledger.
    """
    plan, identity = found.plan, found.plan.request.digest
    now = dt.datetime.now(dt.UTC).isoformat()
    intents = [
        Intent(run=session.run, ordinal=ordinal, job=job, request=identity, at=now) for job in range(plan.n_jobs)
    ]
    outbox = Outbox(
        write=session.record_many,
        put=session.put,
        get=session.ledger.get,
        journal=Journal() if session.resumed is None else session.resumed.journal,
    )
    within = session.hops[found.hop].within
    held = _reserve(session, found, intents)
    try:
        finished = run_jobs(found.backend, plan, intents, outbox, session.polling, session.breaker, within)
    except BaseException as error:
        _settle(held, error)
        raise
    _settle(held, finished)
    session.spending.reconcile(plan.cost, [f.raw.cost for f in finished if f.raw.cost is not None and not f.adopted])
    adopted = sum(f.adopted for f in finished)
    decisions = (f"{adopted} of {len(finished)} jobs found again, not sent",) if adopted else ()
    executed = _executed(plan, identity, [f.raw for f in finished], intents)
    drift = tuple(dict.fromkeys(d for f in finished for d in f.drift))
    return evolve(executed, handles=tuple(f.handle for f in finished), drift=drift, decisions=decisions)


def _reserve(session: Session, found: Route, intents: list[Intent]) -> list[Reservation]:
    """Ask the budgets of plugins; where one refuses, what the others hold is given back."""
    spend = Spend(
        plan=found.plan,
        capabilities=found.backend.capabilities,
        context=session.context,
        intents=tuple(intents),
        ledger=session.ledger,
        record=session.record,
        resumed=session.resumed is not None,
    )
    held: list[Reservation] = []
    for impl in session.registry.hooks.hook.qimg_reserve.get_hookimpls():
        try:
            one: Any = impl.function(*[spend for _ in impl.argnames])
            if one is not None and not isinstance(one, Reservation):
                raise TypeError(f"wanted a Reservation, got {one!r}")
        except BaseException as error:
            _settle(held, error)
            session.spending.release(found.plan)
            if isinstance(error, QimgError) or not isinstance(error, Exception):
                raise
            log.exception("qimg_reserve of %s failed", impl.plugin_name)
            raise AdmissionDenied(
                f"refused before anything was sent: the budget of {impl.plugin_name} failed: {type(error).__name__}"
            ) from error
        if one is not None:
            held.append(one)
    return held


def _settle(held: list[Reservation], end: list[Finished] | BaseException) -> None:
    """A budget that cannot be told keeps what it holds; the result, which is in the ledger, is not lost for that."""
    for one in held:
        try:
            if isinstance(end, BaseException):
                one.interrupted(end)
            else:
                one.finished(end)
        except Exception:
            log.exception("a budget could not be told what became of its reservation; it stays reserved")


def execute_vjp(found: Route, request: ExecutionRequest, cotangent: Any) -> tuple[Executed, tuple[Any, Any]]:
    """Derivatives by the device's own adjoint method; the record's output is the digest of both arrays."""
    import numpy as np

    inputs, weights = found.backend.vjp(found.plan.lowered, cotangent)
    both = np.concatenate([np.ravel(inputs), np.ravel(weights)])
    return Executed(data=both, identity=request.digest), (inputs, weights)


def _executed(plan: Plan, identity: str, raws: list[RawResult], intents: list[Intent]) -> Executed:
    chunks: list[Chunk] = []
    for job, (raw, intent) in enumerate(zip(raws, intents, strict=True)):
        start, stop, shots = place(plan, job)
        surrogate = raw.kind is DeviceKind.SURROGATE
        if shots is not None and raw.shots != shots and not surrogate:
            raise ShotShortfall(
                f"{plan.backend}: {shots} shots were asked, {raw.shots} were taken",
                hint="what came back is in the ledger; ask for another number of shots",
                asked=shots,
                taken=raw.shots,
            )
        chunk = Chunk(
            job=job, rows=(start, stop), shots=raw.shots, key=intent.key, raw=raw.raw_digest, sampling=raw.sampling
        )
        chunks.append(chunk)
    kinds = {raw.kind for raw in raws} - {None}
    kind = DeviceKind.SURROGATE if DeviceKind.SURROGATE in kinds else next(iter(kinds), None)
    data = join(plan, [raw.data for raw in raws])
    kept = tuple(chunks) if len(chunks) > 1 else ()
    return Executed(data=data, identity=identity, raws=tuple(raws), chunks=kept, kind=kind)


def record_of(
    found: Route,
    executed: Executed,
    *,
    ordinal: int,
    label: str,
    asked: str,
    gradient: GradientMethod | None,
    full: bool,
    mitigation: str | None = None,
) -> ExecutionRecord:
    """The provenance of one result."""
    plan, request, backend = found.plan, found.plan.request, found.backend
    kind = executed.kind or backend.capabilities.kind
    return ExecutionRecord(
        ordinal=ordinal,
        label=label,
        asked_backend=asked,
        ran_backend=backend.name,
        device_kind=kind.value,
        fallback_reason=found.fallback_reason,
        request=executed.identity,
        circuit=request.circuit.digest,
        inputs=request.inputs_digest if full else None,
        weights=request.weights_digest if full else None,
        output=array_digest(executed.data) if full else None,
        rows=request.rows,
        shots=None if kind is DeviceKind.SURROGATE else request.shots,
        seed=request.seed,
        noise=None if request.noise is None else request.noise.digest,
        gradient=None if gradient is None else gradient.value,
        precision=str(request.inputs.dtype).replace("torch.", ""),
        decisions=(*plan.decisions, *executed.decisions),
        jobs=executed.handles,
        raw=tuple(raw.raw_digest for raw in executed.raws if raw.raw_digest),
        chunks=executed.chunks,
        footprint=plan.footprint,
        drift=executed.drift,
        reused=executed.reused,
        mitigation=mitigation,
        error=next((raw.error for raw in executed.raws if raw.error), None),
    )
