"""The report's tables as rows of text, for terminal, Markdown and page alike (imports analysis, plan, verdict)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_compare.plan import KPIS
from qimg_compare.scales import scale_of
from qimg_compare.table import Table
from qimg_compare.trial_tables import TRIAL_HEAD, trial_budget
from qimg_compare.verdict import Attribute, Outcome, Verdict
from qimg_metrics.bootstrap import number

if TYPE_CHECKING:
    from qimg_compare.analysis import Analysis
    from qimg_compare.plan import ComparePlan
    from qimg_compare.summary import Mean, Summary
    from qimg_compare.verdict import Comparison
    from qimg_core.plugins import Registry


def verdict_words(analysis: Analysis) -> str:
    """The verdict, for an inconclusive one with the smallest effect that would have been seen, and its attributes."""
    words = analysis.verdict.value
    if analysis.verdict is Verdict.INCONCLUSIVE:
        seen = None if analysis.primary is None else analysis.primary.detectable
        least = "no effect could have been seen" if seen is None else f"minimum detectable effect = {number(seen)}"
        words += f" ({least})"
    return words + "".join(f"; {a.value}" for a in analysis.attributes)


def primary_words(analysis: Analysis) -> str:
    """The comparison that decides, in one sentence."""
    c = analysis.primary
    if c is None:
        return "The primary comparison could not be made."
    return (
        f"{c.first} minus {c.second} on {c.metric} ({scale_of(c.metric).value} is better): {number(c.difference)} "
        f"[{number(c.low)}, {number(c.high)}] over {c.pairs} paired seeds, p = {number(c.p)}; "
        f"equivalence within {number(c.margin)}: p = {number(c.p_equivalence)}."
    )


def budget_table(plan: ComparePlan, analysis: Analysis) -> Table:
    """What every arm had and took."""
    rows = [
        (
            a.name,
            a.role,
            str(a.parameters) if a.parameters else "-",
            str(a.trials) if a.trials else "-",
            str(a.steps) if a.steps else "-",
            f"{a.executions:.0f}",
            f"{a.shots:.0f}",
            "-" if a.train_seconds is None else f"{a.train_seconds:.1f}",
            number(a.seconds_per_image) if a.role != "control" else "-",
            number(a.cost) if a.role != "control" else "-",
            *trial_budget(analysis.tuning, a.name),
        )
        for a in analysis.arms
    ]
    head = ("arm", "role", "parameters", "trials", "steps", "executions", "shots", "train s", "s/image", "cost")
    matched = ", ".join(plan.matched) or "nothing"
    trials = (
        f"trials of tuning with a grid were made at seed {plan.trial_seed}, others are as declared; the columns of "
        "trials are sums over all of an arm's"
        if analysis.tuning
        else "trials of tuning as declared, none were made here"
    )
    return Table(
        title="Budgets",
        head=(*head, *(TRIAL_HEAD if analysis.tuning else ())),
        rows=tuple(rows),
        note=f"Declared as matched: {matched}. Means of one run; {trials}.",
    )


def metric_table(plan: ComparePlan, analysis: Analysis) -> Table:
    """Every metric of every arm, mean over seeds."""
    rows = [(a.name, *(_cell(a.metrics.get(m)) for m in plan.every_metric)) for a in analysis.arms]
    arrows = tuple(f"{m} ({scale_of(m).value})" for m in plan.every_metric)
    return Table(
        title="Metrics",
        head=("arm", *arrows),
        rows=tuple(rows),
        note=f"Mean over {len(analysis.seeds)} seeds [95 % interval], {plan.n} images a seed; "
        "in brackets which values are better.",
    )


def difference_table(plan: ComparePlan, analysis: Analysis) -> Table:
    """The candidate minus every other arm."""
    rows = [
        (
            c.metric,
            c.second,
            f"{number(c.difference)} [{number(c.low)}, {number(c.high)}]",
            ("" if c.adjusted else "decides: ") + number(c.p),
            number(c.margin),
            number(c.p_equivalence),
            "none" if c.detectable is None else number(c.detectable),
            outcome_words(c),
        )
        for c in (*([analysis.primary] if analysis.primary else []), *analysis.others)
    ]
    head = ("metric", f"{plan.candidate} minus", "difference", "p (Holm)", "margin", "p equivalent", "detectable", "")
    return Table(
        title="Differences",
        head=head,
        rows=tuple(rows),
        note="Sign-flip test over paired seeds. The first row decides and is not adjusted; the primary metric against "
        "the other arms is one family after Holm, the other metrics are another.",
    )


def outcome_words(comparison: Comparison) -> str:
    """What a comparison says, naming the arm that is better."""
    c = comparison
    if c.outcome is Outcome.INCONCLUSIVE:
        return "inconclusive"
    if c.outcome is Outcome.EQUIVALENT:
        return "equivalent within margin"
    return f"{c.first if c.outcome is Outcome.BETTER else c.second} better"


def operation_table(plan: ComparePlan, analysis: Analysis, registry: Registry) -> Table:
    """Strength, latency, reproducibility, cost model and regulatory surface of every arm."""
    rows = [
        (
            a.name,
            _strength(plan, analysis, a),
            f"median {number(a.seconds_per_image)} s an image, p95 {number(a.seconds_per_image_p95)} s",
            _reproducibility(a),
            _cost_model(plan, a),
            _surface(plan, a, registry),
        )
        for a in analysis.arms
        if a.role != "control"
    ]
    return Table(
        title="In operation",
        head=("arm", "strength", "latency", "reproducibility", "cost model", "regulatory surface"),
        rows=tuple(rows),
        note=_kpi_words(plan, analysis),
    )


def _strength(plan: ComparePlan, analysis: Analysis, arm: Summary) -> str:
    if arm.name == plan.candidate:
        beaten = [c.second for c in (analysis.primary, *analysis.others) if c and _won(plan, c, Outcome.BETTER)]
        return f"better on {plan.primary} than {', '.join(beaten)}" if beaten else f"none shown on {plan.primary}"
    c = analysis.comparison(plan.primary, arm.name)
    if c is not None and c.outcome is Outcome.WORSE:
        return f"better on {plan.primary} than {plan.candidate}"
    if c is not None and c.outcome is Outcome.EQUIVALENT:
        return f"as good on {plan.primary} as {plan.candidate}"
    return f"none shown on {plan.primary}"


def _won(plan: ComparePlan, c: Comparison, outcome: Outcome) -> bool:
    return c.metric == plan.primary and c.outcome is outcome


def _reproducibility(arm: Summary) -> str:
    if "qpu" in arm.kinds:
        return "a statistical verdict: hardware does not repeat"
    if arm.shots:
        return "the same draws from the same seed on a simulator"
    return "the same 8-bit images in the same environment"


def _cost_model(plan: ComparePlan, arm: Summary) -> str:
    if not arm.executions:
        return "own processor time; no circuit is executed"
    shots = "exact numbers" if not arm.shots else f"{arm.shots:.0f} shots"
    paid = "free" if not arm.cost else f"up to {number(arm.cost)} in the provider's unit"
    return f"{arm.executions:.0f} executions a run ({shots}), {paid}"


def _surface(plan: ComparePlan, arm: Summary, registry: Registry) -> str:
    spec = registry.spec("backend", plan.arm(arm.name).backend.partition("[")[0])
    if arm.executions and getattr(spec, "remote", False):
        return (
            f"circuits and angles leave this machine for {spec.name}: a processor of data, its region and terms count"
        )
    return "everything stays on this machine; no provider"


def _kpi_words(plan: ComparePlan, analysis: Analysis) -> str:
    name = KPIS[plan.kpi]
    unit = "s" if plan.kpi == "time" else "of the provider's unit"
    parts = []
    for a in analysis.arms:
        mean = a.metrics.get(name)
        if mean is None:
            continue
        kept = "" if plan.target is None else (" (kept)" if mean.value <= plan.target else " (missed)")
        parts.append(f"{a.name} {number(mean.value)} {unit}{kept}")
    target = "" if plan.target is None else f", target {number(plan.target)}"
    return f"KPI, {plan.kpi} for an accepted image{target}: {'; '.join(parts) or 'not known'}."


def attribute_note(attribute: Attribute) -> str:
    """What an attribute means."""
    return {
        Attribute.SINGLE_DATASET: "one data set: another may say otherwise",
        Attribute.SIMULATED: "the circuits were simulated on a classical machine",
        Attribute.NO_ENTANGLEMENT_BENEFIT: "the arm without entangling gates was not shown to be worse",
        Attribute.SURROGATE_MATCHES: "a classical stand-in for the circuit was not shown to be worse",
        Attribute.NOT_PRE_REGISTERED: "the plan was not in the ledger, as it is, before the results",
    }[attribute]


def _cell(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    if mean.low is None or mean.high is None:
        return number(mean.value)
    return f"{number(mean.value)} [{number(mean.low)}, {number(mean.high)}]"
