"""Replaying a run's recorded requests with fresh shots: a statistical verdict (floor 10; imports replay, two_samples).

Works on requests whose numbers were kept (``--proposals keep``). Each is executed again on the device that ran it, with
a new seed, and compared by `qimg_core.two_samples.compare`; the requests are one family, adjusted after Holm. Exact
numbers are compared to the byte.
"""

from __future__ import annotations

import json
import math
import secrets
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.proposals import Proposals
from qimg_core.replay import session_like, started
from qimg_core.replay_record import Replay, environments, record_replay
from qimg_core.two_samples import compare, holm
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.budget import Budget
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry
    from qimg_core.proposals import Proposal
    from qimg_core.session import Session

ALPHA = 0.01
EFFECT = 0.1
"""Total variation distance that a pass excludes by default."""


@frozen(kw_only=True)
class Compared:
    """One request, executed again.

    Args:
        ordinal: of the recorded execution.
        entry: index of the entry that keeps its numbers.
        method: see `TwoSamples.method`; "bytes" for exact numbers.
        p, adjusted: of the test, and after Holm; None where none was made.
        largest: distance seen; for exact numbers the largest absolute difference.
        detectable: the smallest distance that would have been seen; 0 for exact numbers.
        verdict: of this request.
        reason: in words where there is no test.
    """

    ordinal: int
    entry: int
    method: str
    p: float | None
    adjusted: float | None
    largest: float
    detectable: float
    verdict: Verdict
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Numbers as strings, as entries have no floats."""
        out = asdict(self)
        return {k: repr(v) if isinstance(v, float) else v for k, v in out.items()}


def replay_requests(
    ledger: Ledger,
    run: str,
    *,
    alpha: float = ALPHA,
    effect: float | None = None,
    limit: int | None = None,
    seed: int | None = None,
    registry: Registry | None = None,
    budget: Budget | None = None,
) -> Replay:
    """Execute a run's kept requests again and compare the distributions.

    Verdict: *fail* where any request differs (Holm-adjusted p up to ``alpha``, or other bytes of exact numbers in
    the same environment); *pass* where none does and every test would have seen ``effect``; else *inconclusive*.

    Args:
        ledger: open for writing; the repetition has a record of its own.
        run: whose requests.
        alpha: chance of calling equal devices different, over all requests together.
        effect: total variation distance that a pass has to exclude; `EFFECT` by default.
        limit: compare so many requests only, drawn with the seed.
        seed: of the repetition; drawn and recorded by default. The recorded run's own is refused.
        registry: the plugins.
        budget: what the repetition may spend; by default nothing.

    Raises:
        ConfigurationError: no kept requests in that run, or its own seed.
        BudgetExceeded: the device costs, and the budget does not allow it.
    """
    bound = EFFECT if effect is None else effect
    before = started(ledger, run)
    kept = [p for p in Proposals(ledger) if p.run == run]
    if not kept:
        raise ConfigurationError(
            f"run {run} kept no requests with their numbers", hint="record them with: --proposals keep"
        )
    root = secrets.randbits(62) if seed is None else seed
    if str(root) == before.facts["seed"]:
        raise ConfigurationError("the recorded run's own seed draws the same shots again", hint="give another seed")
    with session_like(ledger, run, registry=registry, seed=root, budget=budget) as session:
        chosen = _chosen(kept, limit, session)
        share = alpha / len(chosen)
        results = [_again(session, proposal, share) for proposal in chosen]
        environment = environments(ledger, before, started(ledger, session.run))
        results = _adjusted(results, alpha, bool(environment))
        details = json.dumps([r.to_json() for r in results], sort_keys=True, separators=(",", ":")).encode()
        replay = _concluded(results, len(kept), bound, run, session.run, environment)
        return record_replay(
            session,
            replay,
            product="requests",
            entry=None,
            stated={"alpha": repr(alpha), "effect": repr(bound)},
            artefacts={"requests": session.put(details)},
        )


def _chosen(kept: list[Proposal], limit: int | None, session: Session) -> list[Proposal]:
    if limit is None or limit >= len(kept):
        return kept
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(session.seed_for("replay", "requests")))
    return [kept[i] for i in sorted(rng.choice(len(kept), size=limit, replace=False))]


def _again(session: Session, proposal: Proposal, alpha: float) -> Compared:
    import numpy as np

    if not proposal.plain:
        return _untested(proposal, "it was mitigated or contracted, which its numbers cannot be taken back from")
    numbers = proposal.numbers()
    request = ExecutionRequest(
        circuit=proposal.executed_circuit(),
        inputs=numbers.inputs,
        weights=numbers.weights,
        measurement=numbers.measurement,
        shots=proposal.shots,
        seed=None if proposal.shots is None else session.seed_for("replay", "request", proposal.ordinal),
        noise=numbers.noise,
    )
    result = session.execute(request, label="replay")
    if result.record.ran_backend != proposal.backend:
        return _untested(proposal, f"{proposal.backend} ran it, {result.record.ran_backend} repeated it")
    was, now = np.asarray(numbers.data), np.asarray(result.data)
    if was.shape != now.shape:
        return _untested(proposal, f"the result has the shape {now.shape}, it was {was.shape}")
    if proposal.shots is None:
        largest = float(np.abs(was - now).max(initial=0))
        equal = was.tobytes() == now.tobytes()
        verdict = Verdict.PASS if equal else Verdict.FAIL
        return _compared(proposal, "bytes", None, largest, 0.0, verdict)
    seed = session.seed_for("replay", "draws", proposal.ordinal)
    found = compare(numbers.measurement, was, now, shots=proposal.shots, alpha=alpha, seed=seed)
    if found.p is None:
        return _untested(proposal, found.method)
    return _compared(proposal, found.method, found.p, found.largest, found.detectable, Verdict.INCONCLUSIVE)


def _compared(
    proposal: Proposal, method: str, p: float | None, largest: float, detectable: float, verdict: Verdict
) -> Compared:
    return Compared(
        ordinal=proposal.ordinal,
        entry=proposal.entry,
        method=method,
        p=p,
        adjusted=None,
        largest=largest,
        detectable=detectable,
        verdict=verdict,
    )


def _untested(proposal: Proposal, reason: str) -> Compared:
    return Compared(
        ordinal=proposal.ordinal,
        entry=proposal.entry,
        method="none",
        p=None,
        adjusted=None,
        largest=math.nan,
        detectable=math.inf,
        verdict=Verdict.INCONCLUSIVE,
        reason=reason,
    )


def _adjusted(results: list[Compared], alpha: float, other: bool) -> list[Compared]:
    """With Holm's p and the verdict of each request; ``other`` where the environment is another."""
    from attrs import evolve

    tested = [r for r in results if r.p is not None]
    adjusted = dict(zip((r.ordinal for r in tested), holm([r.p for r in tested if r.p is not None]), strict=True))
    out = []
    for r in results:
        if r.p is not None:
            differs = adjusted[r.ordinal] <= alpha
            r = evolve(r, adjusted=adjusted[r.ordinal], verdict=Verdict.FAIL if differs else Verdict.PASS)
        elif r.method == "bytes" and r.verdict is Verdict.FAIL and other:
            r = evolve(r, verdict=Verdict.INCONCLUSIVE, reason="other bytes, in another environment")
        out.append(r)
    return out


def _concluded(
    results: list[Compared], of: int, bound: float, run: str, new_run: str, environment: tuple[str, ...]
) -> Replay:
    failed = [r for r in results if r.verdict is Verdict.FAIL]
    unknown = [r for r in results if r.verdict is Verdict.INCONCLUSIVE]
    detectable = max((r.detectable for r in results if r.method != "none"), default=math.inf)
    largest = max((r.largest for r in results if r.method != "none"), default=math.nan)
    smallest = min((r.adjusted for r in results if r.adjusted is not None), default=None)
    said: str | None
    if failed:
        worst = max(failed, key=lambda r: r.largest)
        verdict = Verdict.FAIL
        said = f"{len(failed)} of {len(results)} requests differ, most request {worst.ordinal} by {worst.largest:.3g}"
    elif unknown:
        verdict = Verdict.INCONCLUSIVE
        said = f"{len(unknown)} of {len(results)} requests could not be compared: {unknown[0].reason}"
    elif detectable > bound:
        verdict = Verdict.INCONCLUSIVE
        said = f"no difference is seen, and none below {detectable:.3g} would have been; {bound:g} was asked"
    else:
        verdict = Verdict.PASS
        said = None if detectable == 0 else f"equal up to shots: no difference of {detectable:.3g} or more"
    measured = {
        "requests": f"{len(results)} of {of}",
        "largest": f"{largest:.3g}",
        "smallest_p": "none" if smallest is None else f"{smallest:.3g}",
        "detectable": f"{detectable:.3g}",
        "methods": ", ".join(sorted({r.method for r in results})),
    }
    return Replay(
        verdict=verdict,
        run=run,
        new_run=new_run,
        first_difference=said,
        environment=environment,
        measured=measured,
        method="requests",
    )
