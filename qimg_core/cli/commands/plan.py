"""``qimg plan``: what making images would ask for and cost (imports planning)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode, error_document, exit_code
from qimg_core.cli.foreseeing import chain_after, outlooks, shared_lines
from qimg_core.cli.options import (
    RunOptions,
    arm_option,
    json_option,
    parse_classes,
    parse_settings,
    run_options,
    set_option,
)
from qimg_core.cli.output import emit, fields, print_error
from qimg_core.cli.runs import check_workload, load_generator, model_changes, open_run
from qimg_core.cli.summary import circuit_facts, circuit_words
from qimg_core.errors import BudgetExceeded, PolicyError

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.job import Cost
    from qimg_core.planning import SamplingPlan


@click.command()
@click.option("--generator", required=True, metavar="NAME", help="E.g. hybrid-unet; see `qimg plugin list`.")
@click.option("--weights", metavar="NAME|FILE", help="Trained weights; those that ship with it by default.")
@click.option("--untrained", is_flag=True, help="Use a model without trained weights.")
@click.option("--n", default=64, show_default=True, help="How many images.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@arm_option
@set_option
@run_options
@json_option
@click.pass_obj
def plan(
    app: App,
    generator: str,
    weights: str | None,
    untrained: bool,
    n: int,
    condition: str | None,
    arm: str | None,
    settings: tuple[str, ...],
    run: RunOptions,
) -> ExitCode:
    """Show what `qimg generate` would ask of a device, and what that would cost at most.

    Nothing is sent, written or reserved. Exit code 4 where the run's own budget (--max-cost, --max-jobs, --max-shots)
    would not allow it, or where one that several runs share would not and no --fallback is named.
    """
    from qimg_core.planning import plan_sampling

    with open_run(app, run, "generate", planning=True) as session:
        model = load_generator(
            session,
            generator,
            weights=weights,
            untrained=untrained,
            changes=model_changes(arm, parse_settings(settings)),
        )
        check_workload(model, n)
        found = plan_sampling(model, n, condition=parse_classes(condition))
        kind = session.backend(found.first.backend).capabilities.kind if found.first is not None else None
        shared = outlooks(app, session, found, run.ledger)
        later = chain_after(session, found)
    document = _document(found, generator, None if kind is None else kind.value)
    refused = _own_budget(run, found) or next((o.refused for o in shared if o.refused is not None and not later), None)
    document |= {
        "budgets": [
            {"name": o.name, "admitted": o.refused is None, "warnings": list(o.warnings), **o.facts} for o in shared
        ],
    }
    if refused is not None:
        document["error"] = error_document(refused)
    emit(document, [*_lines(document, found), *shared_lines(shared, later)])
    if refused is None:
        return ExitCode.OK
    print_error(refused, as_json=False)  # the document has it as well
    return exit_code(refused)


def _document(found: SamplingPlan, generator: str, kind: str | None) -> dict[str, Any]:
    w, first = found.workload, found.first
    return {
        "generator": generator,
        "n": found.n,
        "backend": None if first is None else first.backend,
        "device_kind": kind,
        "circuit": None if first is None else circuit_facts(first.request.circuit),
        "measurement": None if first is None else first.request.measurement.kind.value,
        "requests": w.requests,
        "rows": w.rows,
        "bases": w.bases,
        "shots": w.shots,
        "total_shots": w.total_shots,
        "jobs": found.jobs,
        "per_image": found.per_image,
        "cost": found.cost.to_json(),
        "decisions": [] if first is None else list(first.decisions),
    }


def _lines(document: dict[str, Any], found: SamplingPlan) -> list[str]:
    if found.first is None:
        return [f"{found.n} images of {document['generator']}: nothing runs on a device"]
    each, exact = document["per_image"], document["shots"] is None
    bases = "" if exact else f" in up to {document['bases']:,} bases"
    shots = (
        "exact numbers, no shots"
        if exact
        else f"up to {document['total_shots']:,} ({document['shots']:,} a row and basis; {each['shots']:,.0f} an image)"
    )
    pairs = [
        ("device", f"{document['backend']} ({document['device_kind']})"),
        ("circuit", circuit_words(document["circuit"])),
        ("measured", document["measurement"]),
        ("requests", f"up to {document['requests']:,}, one after the other"),
        ("rows", f"up to {document['rows']:,} ({each['rows']:,.0f} an image){bases}"),
        ("shots", shots),
        ("jobs", f"up to {document['jobs']:,}"),
        ("cost", _money(found.cost, found.n)),
        *(("chosen", words) for words in document["decisions"]),
    ]
    head = f"{found.n} images of {document['generator']}; nothing was sent, nothing was written"
    return [head, *fields(pairs)]


def _money(cost: Cost, n: int) -> str:
    if cost.is_free:
        return f"free: {cost.basis}"
    if cost.high is None:
        return f"not known: {cost.basis}"
    low = "" if cost.low is None or cost.low == cost.high else f"{cost.low:.6g} to "
    return f"{low}{cost.high:.6g} {cost.unit} at most, {cost.high / n:.4g} an image; {cost.basis}"


def _own_budget(run: RunOptions, found: SamplingPlan) -> PolicyError | None:
    """What the run's own budget would refuse it with."""
    try:
        _check_budget(run, found)
    except PolicyError as error:
        return error
    return None


def _check_budget(run: RunOptions, found: SamplingPlan) -> None:
    from qimg_core.cli.options import parse_amount

    most, cost = parse_amount(run.max_cost), found.cost
    if found.first is None or cost.is_free:
        return
    if cost.high is None and not run.allow_unknown_cost:
        raise BudgetExceeded(
            f"{found.first.backend} publishes no price for this", hint="--allow-unknown-cost to go on all the same"
        )
    if most is not None and cost.high is not None and cost.high > most:
        raise BudgetExceeded(f"up to {cost.high:.6g} {cost.unit}, the budget allows {most}")
    if run.max_jobs is not None and found.jobs > run.max_jobs:
        raise BudgetExceeded(f"up to {found.jobs:,} jobs, the budget allows {run.max_jobs:,}")
