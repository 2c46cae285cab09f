"""The plan in the project's ledger before the first run, the results after the last (imports qimg_core, plan, result).

"Pre-registered" is a fact of the log and not a claim: the entry that holds the plan stands before the results, every
result names that entry, and no other plan of the same name stands before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_compare.plan import ComparePlan
    from qimg_compare.result import RunResult
    from qimg_core.ledger.entry import Entry
    from qimg_core.session import Session

PLANNED, FINISHED = "compare.planned", "compare.finished"


@frozen(kw_only=True)
class Registration:
    """Where a plan stands in the ledger.

    Args:
        entry: index of its entry.
        digest: of that entry.
        origin: name of the log.
        reasons: why the plan does not count as made beforehand; empty where it does.
    """

    entry: int
    digest: str
    origin: str
    reasons: tuple[str, ...] = ()

    @property
    def pre_registered(self) -> bool:
        """Nothing speaks against it."""
        return not self.reasons


def register(session: Session, plan: ComparePlan, *, data: str, network: str, bench: str) -> Registration:
    """Write the plan down, or find where it was written down before.

    Args:
        session: of the project's ledger.
        plan: what will be run.
        data: digest of the training data.
        network: digest of the feature network.
        bench: digest of all that the runs share.
    """
    earlier: list[Entry] = []
    own: Entry | None = None
    for entry in session.ledger.entries(kind=PLANNED):
        if entry.facts.get("plan") == plan.digest and entry.facts.get("bench") == bench:
            own = entry
            break
        if entry.facts.get("name") == plan.name:
            earlier.append(entry)
    if own is None:
        facts: dict[str, Any] = {
            "schema": "qimg.compare.planned/1",
            "name": plan.name,
            "plan": plan.digest,
            "candidate": plan.candidate,
            "reference": plan.reference,
            "primary": plan.primary,
            "runs": len(plan.names) * len(plan.seeds),
            "data": data,
            "network": network,
            "bench": bench,
            "artefacts": {"plan": session.put(canonical.dumps(plan.to_json()))},
        }
        if plan.tuned:
            facts["trials"] = sum(a.tried for a in plan.tuned)
        own = session.record(PLANNED, facts)
    reasons = [f"the plan {plan.name!r} was changed after its entry {e.index}" for e in earlier[:1]]
    return Registration(entry=own.index, digest=own.digest, origin=session.ledger.origin, reasons=tuple(reasons))


def checked(registration: Registration, results: Iterable[RunResult], *, chosen: str | None = None) -> Registration:
    """The registration with what the results say about it: each names the entries that were there when it began.

    Args:
        registration: of the plan.
        results: of runs and trials.
        chosen: digest of the entry that chose the settings of tuned arms.
    """
    from attrs import evolve

    there = list(results)
    for entry, strangers in (
        ("the plan's entry", [r for r in there if r.registered != registration.digest]),
        ("the entry of the chosen settings", [r for r in there if r.chosen not in (None, chosen)]),
    ):
        if strangers:
            first = f"{strangers[0].arm}, seed {strangers[0].seed}"
            reason = f"{len(strangers)} results were there before {entry}, the first is {first}"
            registration = evolve(registration, reasons=(*registration.reasons, reason))
    return registration


def finish(
    session: Session,
    plan: ComparePlan,
    registration: Registration,
    results: Mapping[tuple[str, int], tuple[RunResult, str]],
    document: Mapping[str, Any],
    *,
    chosen: int | None = None,
) -> Entry:
    """The last entry: plan, runs with the heads of their logs, data, feature network, verdict; the same one once.

    Args:
        session: of the project's ledger.
        plan: that was run.
        registration: of it.
        results: by arm and seed, each with the digest of its file.
        document: the report, JSON without floats; kept as an artefact.
        chosen: index of the entry that chose the settings of tuned arms.
    """
    runs = [
        {"arm": arm, "seed": seed, "result": digest, "log": _head(result)}
        for (arm, seed), (result, digest) in sorted(results.items())
    ]
    any_result = next(iter(results.values()))[0]
    texts = {"runs": canonical.dumps(runs), "report": canonical.dumps(dict(document))}
    digests = {name: sha256_digest(text) for name, text in texts.items()}
    for entry in session.ledger.entries(kind=FINISHED, start=registration.entry):
        if entry.artefacts == digests:
            return entry
    facts: dict[str, Any] = {
        "schema": "qimg.compare.finished/1",
        "name": plan.name,
        "plan": plan.digest,
        "planned_entry": registration.entry,
        "pre_registered": registration.pre_registered,
        "reasons": list(registration.reasons),
        "data": any_result.data,
        "network": any_result.network,
        "runs": len(runs),
        "verdict": document["verdict"],
        "attributes": document["attributes"],
        "primary": document["primary"],
        "artefacts": {name: session.put(text) for name, text in texts.items()},
    }
    if chosen is not None:
        facts["chosen_entry"] = chosen
    return session.record(FINISHED, facts)


def _head(result: RunResult) -> dict[str, Any] | None:
    log = result.log
    return None if log is None else {"origin": log.origin, "size": log.size, "checkpoint": log.checkpoint}
