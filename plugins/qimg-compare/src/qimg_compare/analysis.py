"""From results to a verdict with its attributes (imports statistics, summary, verdict, plan; no I/O).

One comparison decides: the candidate against the reference on the primary metric, not adjusted. The rest are two
families, each adjusted after Holm: the primary metric against the other arms, and the other metrics against all arms.
Controls are not tested; they show where real images and copies lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import fields, frozen

from qimg_compare import statistics
from qimg_compare.plan import Role
from qimg_compare.statistics import Score, paired
from qimg_compare.summary import Summary, scores_of, summary
from qimg_compare.verdict import VERDICTS, Attribute, Comparison, Outcome, Verdict, adjust, compare, turned
from qimg_core.ledger.canonical import real
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_compare.plan import ComparePlan
    from qimg_compare.registration import Registration
    from qimg_compare.result import RunResult
    from qimg_compare.runner import Failure
    from qimg_compare.trial_choice import Tuning

CLOSE = 0.02
"""Two budgets within this share of one another count as matched."""


@frozen(kw_only=True)
class Analysis:
    """The answer.

    Args:
        verdict: of the primary comparison.
        attributes: what must be read with it.
        primary: the comparison that decides; None where too few runs left results.
        others: all other comparisons, adjusted.
        arms: summaries, in the plan's order.
        seeds: that were run.
        failures: runs without a result.
        remarks: what else a reader must know.
        tuning: the trials of every arm with a grid, and what they chose.
    """

    verdict: Verdict
    attributes: tuple[Attribute, ...]
    primary: Comparison | None
    others: tuple[Comparison, ...]
    arms: tuple[Summary, ...]
    seeds: tuple[int, ...]
    failures: tuple[Failure, ...]
    remarks: tuple[str, ...]
    tuning: tuple[Tuning, ...] = ()

    def comparison(self, metric: str, second: str) -> Comparison | None:
        """The candidate against an arm on a metric."""
        everything = (*([self.primary] if self.primary else []), *self.others)
        return next((c for c in everything if (c.metric, c.second) == (metric, second)), None)

    def to_json(self) -> dict[str, Any]:
        """JSON without floats."""
        trials = {"tuning": [t.to_json() for t in self.tuning]} if self.tuning else {}
        return {
            **trials,
            "verdict": self.verdict.value,
            "attributes": [a.value for a in self.attributes],
            "primary": None if self.primary is None else _json(self.primary),
            "others": [_json(c) for c in self.others],
            "arms": [_json(a) for a in self.arms],
            "seeds": list(self.seeds),
            "failures": [_json(f) for f in self.failures],
            "remarks": list(self.remarks),
        }


def analyse(
    plan: ComparePlan,
    results: Sequence[RunResult],
    registration: Registration,
    *,
    seeds: Sequence[int],
    failures: Sequence[Failure] = (),
    tuning: Sequence[Tuning] = (),
) -> Analysis:
    """Judge what the runs left.

    Args:
        plan: that was run.
        results: in any order.
        registration: with what the results say about it.
        seeds: that were asked for.
        failures: runs without a result.
        tuning: what trials chose.
    """
    results = sorted(results, key=lambda r: (r.arm, r.seed))
    scores = [s for r in results for s in scores_of(r, plan.every_metric)]
    others = [a.name for a in plan.arms if a.name not in (plan.candidate, plan.reference)]
    decides = _compared(plan, scores, plan.primary, plan.reference)
    first = [_compared(plan, scores, plan.primary, name) for name in others]
    rest = [m for m in plan.every_metric if m != plan.primary]
    second = [_compared(plan, scores, m, name) for m in rest for name in (plan.reference, *others)]
    families = (*adjust([c for c in first if c]), *adjust([c for c in second if c]))
    verdict = Verdict.INCONCLUSIVE if decides is None else VERDICTS[decides.outcome]
    arms = tuple(summary(plan, name, [r for r in results if r.arm == name]) for name in plan.names)
    return Analysis(
        verdict=verdict,
        attributes=_attributes(plan, families, decides, results, registration),
        primary=decides,
        others=families,
        arms=arms,
        seeds=tuple(seeds),
        failures=tuple(failures),
        remarks=(*registration.reasons, *_remarks(plan, arms, decides, len(seeds))),
        tuning=tuple(tuning),
    )


def _compared(plan: ComparePlan, scores: Sequence[Score], metric: str, name: str) -> Comparison | None:
    if min(len({s.seed for s in scores if (s.arm, s.metric) == (arm, metric)}) for arm in (plan.candidate, name)) < 2:
        return None
    pairs = paired(scores, plan.candidate, name, metric)
    margin = plan.margin if metric == plan.primary and plan.margin is not None else margin_of(plan, scores, metric)
    seed = derive_seed(plan.seed, "bootstrap", metric, name)
    return compare(pairs, metric=metric, first=plan.candidate, second=name, margin=margin, seed=seed)


def margin_of(plan: ComparePlan, scores: Sequence[Score], metric: str) -> float:
    """Half the standard deviation over seeds of the parameter-matched arm (of the reference where there is none)."""
    matched = [a.name for a in plan.arms if a.role is Role.PARAMETER_MATCHED]
    name = plan.reference if plan.reference in matched or not matched else matched[0]
    values = np.array([s.value for s in scores if (s.arm, s.metric) == (name, metric)])
    return 0.5 * float(turned(metric, values).std(ddof=1)) if len(values) > 1 else 0.0


def _attributes(
    plan: ComparePlan,
    families: Sequence[Comparison],
    decides: Comparison | None,
    results: Sequence[RunResult],
    registration: Registration,
) -> tuple[Attribute, ...]:
    found = [Attribute.SINGLE_DATASET]
    own = [r for r in results if r.arm == plan.candidate]
    if own and all(r.simulated for r in own):
        found.append(Attribute.SIMULATED)
    better = {c.second for c in (*families, decides) if c and c.metric == plan.primary and c.outcome is Outcome.BETTER}
    for role, attribute in (
        (Role.SEPARABLE, Attribute.NO_ENTANGLEMENT_BENEFIT),
        (Role.SURROGATE, Attribute.SURROGATE_MATCHES),
    ):
        of_role = {a.name for a in plan.arms if a.role is role}
        if of_role and not of_role <= better:
            found.append(attribute)
    if not registration.pre_registered:
        found.append(Attribute.NOT_PRE_REGISTERED)
    return tuple(found)


def _remarks(plan: ComparePlan, arms: Sequence[Summary], decides: Comparison | None, seeds: int) -> tuple[str, ...]:
    found = []
    if seeds < statistics.least_pairs():
        found.append(f"{seeds} seeds: an exact test needs {statistics.least_pairs()}, so nothing can be concluded")
    if decides is None:
        found.append("too few runs left results for the primary comparison")
    candidate, reference = ({a.name: a for a in arms}[name] for name in (plan.candidate, plan.reference))
    budgets = {
        "parameters": "parameters",
        "trials": "trials",
        "steps": "steps",
        "executions": "executions",
        "shots": "shots",
        "time": "train_seconds",
        "money": "cost",
    }
    for word in plan.matched:
        if (key := budgets.get(word)) is None:
            continue  # all arms of one plan have the same data
        a, b = getattr(candidate, key), getattr(reference, key)
        if a is None or b is None or abs(a - b) > CLOSE * max(abs(a), abs(b)):
            found.append(f"{word} are said to be matched, but {candidate.name} has {a} and {reference.name} {b}")
    if not candidate.quantum:
        found.append(f"no quantum circuit made the images of {candidate.name}")
    return tuple(found)


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return real(value)
    if isinstance(value, dict):
        return {k: _json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    if hasattr(value, "__attrs_attrs__"):
        return {f.name: _json(getattr(value, f.name)) for f in fields(type(value))}
    return getattr(value, "value", value)
