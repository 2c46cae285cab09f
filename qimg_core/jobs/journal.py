"""What the ledger knows about a run's jobs, so that nothing is sent or paid twice (imports ledger, job).

Entry kinds: ``jobs.intended`` (one per request and device, durable before anything is sent; the keys of its
jobs follow from it), ``job.submitted`` (the handle), ``job.adopted`` (found again by its key),
``job.finished`` (what came back, with digests), ``job.ended`` (failed, cancelled, left alone) and
``job.resolved`` (somebody stated that an uncertain job does not exist).
"""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from qimg_core.job import Cost, Intent, JobHandle, RawResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.capabilities import DeviceKind
    from qimg_core.job import JSON
    from qimg_core.ledger.base import Ledger

KINDS = ("jobs.intended", "job.submitted", "job.adopted", "job.finished", "job.ended", "job.resolved")
INLINE = 4096
"""Handles longer than so many bytes become artefacts, as an entry has at most 65,535."""


@define
class Known:
    """One job as the ledger knows it.

    Args:
        intent: what was about to be sent.
        backend: to which driver.
        handle: where it was accepted.
        finished: facts of ``job.finished``.
        ended: why there is no result: "failed", "cancelled", "left", "expired"; None while it is open.
        resolved: somebody stated that the provider never had it.
    """

    intent: Intent
    backend: str
    handle: JobHandle | None = None
    finished: Mapping[str, Any] | None = None
    ended: str | None = None
    resolved: bool = False

    @property
    def open(self) -> bool:
        """Intended, and neither its result nor its end is known."""
        return self.finished is None and self.ended is None

    @property
    def state(self) -> str:
        """In a word."""
        if self.finished is not None:
            return "finished"
        if self.ended is not None:
            return self.ended
        return "submitted" if self.handle is not None else "uncertain"


@frozen
class Journal:
    """The jobs of one run, by driver and key. An empty one knows nothing."""

    jobs: dict[tuple[str, str], Known] = field(factory=dict)

    @classmethod
    def of(cls, ledger: Ledger, run: str) -> Journal:
        """Read a run's entries; results stay in the ledger until they are asked for."""
        jobs: dict[tuple[str, str], Known] = {}
        for entry in ledger.entries(run=run):
            if entry.kind not in KINDS:
                continue
            facts = entry.facts
            backend = str(facts["backend"])
            if entry.kind == "jobs.intended":
                for job in facts["jobs"]:
                    intent = Intent(run=run, ordinal=facts["ordinal"], job=job, request=facts["request"], at=entry.time)
                    found = jobs.setdefault((backend, intent.key), Known(intent, backend))
                    found.intent = evolve(found.intent, at=entry.time)  # a later sending counts, for searches
                continue
            known = jobs.get((backend, str(facts["key"])))
            if known is None:
                continue
            if entry.kind in ("job.submitted", "job.adopted"):
                known.handle, known.resolved, known.ended = handle_from(ledger, facts), False, None
            elif entry.kind == "job.finished":
                known.finished = facts
            elif entry.kind == "job.ended":
                known.ended = str(facts["state"])
            else:
                known.resolved = True
        return cls(jobs)

    def known(self, backend: str, key: str) -> Known | None:
        """One job, if the ledger has it."""
        return self.jobs.get((backend, key))


def handle_facts(handle: JobHandle, put: Any) -> dict[str, JSON]:
    """A handle as facts of an entry; a long one as an artefact."""
    document = handle.to_json()
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    if len(text) <= INLINE:
        return {"handle": document}
    return {"artefacts": {"handle": put(text)}}


def handle_from(ledger: Ledger, facts: Mapping[str, Any]) -> JobHandle:
    """Read `handle_facts` back."""
    if "handle" in facts:
        return JobHandle.from_json(facts["handle"])
    return JobHandle.from_json(json.loads(ledger.get(facts["artefacts"]["handle"])))


def result_facts(raw: RawResult, put: Any) -> dict[str, JSON]:
    """A result as facts, its array and what the provider returned as artefacts."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(raw.data), allow_pickle=False)
    artefacts: dict[str, JSON] = {"data": put(buffer.getvalue())}
    if raw.raw is not None:
        artefacts["raw"] = put(raw.raw)
    return {
        "artefacts": artefacts,
        "raw": raw.raw_digest,
        "shots": raw.shots,
        "sampling": raw.sampling,
        "device_kind": None if raw.kind is None else raw.kind.value,
        "error": raw.error,
        "lowered": raw.lowered_digest,
        "qpu_seconds": raw.qpu_seconds,
        "billed": None if raw.cost is None else raw.cost.to_json(),
        "provider": dict(raw.provider),
    }


def result_from(ledger_get: Any, facts: Mapping[str, Any]) -> RawResult:
    """Read `result_facts` back; the artefacts are hashed on the way."""
    import numpy as np

    from qimg_core.capabilities import DeviceKind

    kind: DeviceKind | None = None if facts["device_kind"] is None else DeviceKind(facts["device_kind"])
    return RawResult(
        data=np.load(io.BytesIO(ledger_get(facts["artefacts"]["data"])), allow_pickle=False),
        shots=facts["shots"],
        raw_digest=facts["raw"],
        sampling=facts["sampling"],
        kind=kind,
        error=facts["error"],
        lowered_digest=facts["lowered"],
        qpu_seconds=facts["qpu_seconds"],
        cost=None if facts["billed"] is None else _cost(facts["billed"]),
        provider=facts["provider"],
    )


def _cost(document: Mapping[str, Any]) -> Cost:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return Cost(
        low=number(document["low"]),
        high=number(document["high"]),
        unit=document["unit"],
        basis=document["basis"],
        date=document.get("date"),
    )
