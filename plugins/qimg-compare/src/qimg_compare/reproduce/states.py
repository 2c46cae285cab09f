"""The recipe of quantum states: `qimg_diffusion`'s own reproduction at several seeds (imports qimg_diffusion late)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve

from qimg_compare import statistics
from qimg_compare.reproduce.images import Outcome
from qimg_compare.reproduce.judging import Ours, Row
from qimg_compare.reproduce.recipe import Band, Effort, StateRun
from qimg_core.cli.output import say
from qimg_core.cli.runs import check_folder, prepare_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.seeds import derive_seed
from qimg_core.session import Session
from qimg_core.storage import ensure_folder
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qimg_compare.reproduce.recipe import Recipe
    from qimg_core.cli.app import App
    from qimg_diffusion.quddpm.reproduce import Figure

BOUND = "the project's own bound: what the published model reached, or what no circuit can pass"
PUBLISHED = "mean over held-out states, recomputed from the authors' arrays"
SINGLE = "a single run is judged by its value: its band was set for single runs"


def reproduce_states(
    app: App, recipe: Recipe, *, data: str | None, effort: Effort, seeds: int | None, out: Path, ledger: str
) -> Outcome:
    """Train every task at every seed, one after the other; each seed is a run of the ledger.

    Raises:
        ConfigurationError: data were given, or qimg-diffusion is not installed.
    """
    run = recipe.run
    assert isinstance(run, StateRun)
    if data is not None:
        raise ConfigurationError(
            f"{recipe.name} draws its ensembles of states itself; it takes no --data",
            hint="to train on other states: qimg train --generator quddpm --data FILE",
        )
    spending = run.efforts[effort]
    wanted = tuple(range(1, (spending.seeds if seeds is None else seeds) + 1))
    folder = out / f"{recipe.name}-{effort.value}"
    check_folder(folder)
    found: list[tuple[Figure, ...]] = []
    runs = []
    for seed in wanted:
        with Session(ledger, seed=seed, profile="light", activity="train", registry=app.registry) as session:
            if seed == wanted[0]:
                prepare_ledger(session, ledger)
            found.append(_figures(session, run, effort, seed))
            runs.append(session.run)
    ensure_folder(folder)
    rows = tuple(_row(recipe, same, effort) for same in zip(*found, strict=True))
    return Outcome(rows=rows, facts={"seeds": list(wanted), "runs": runs, "tasks": list(run.tasks)}, folder=folder)


def _figures(session: Session, run: StateRun, effort: Effort, seed: int) -> tuple[Figure, ...]:
    try:
        from qimg_diffusion.quddpm.reproduce import reproduce
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "the recipe needs qimg-diffusion, which is not installed", hint="pip install qimg-diffusion"
        ) from error
    spending = run.efforts[effort]
    figures: list[Figure] = []
    for task in run.tasks:
        say(f"seed {seed}: {task}")
        changes: dict[str, Any] = {} if task in run.plain else dict(spending.changes)
        figures += reproduce(session, [task], effort=spending.factor, **changes).figures
    return tuple(figures)


def _row(recipe: Recipe, same: Sequence[Figure], effort: Effort) -> Row:
    """One figure at all seeds: its band is for single runs, so every one of them has to lie in it."""
    first = same[0]
    name = f"{first.task}: {first.name}"
    values = np.array([f.ours for f in same])
    band = next((f.bands.get(Effort.USUAL) for f in recipe.figures if f.name == name), None)
    if band is None and (first.least is not None or first.most is not None):
        band = Band(low=first.least, high=first.most, source=BOUND)
    fresh = [f.data for f in same if f.data is not None]
    row = Row(
        name=name,
        published=None if first.published is None else str(first.published),
        definition="" if first.published is None else PUBLISHED,
        data=_ours(np.array(fresh), name) if fresh else None,
        band=band,
        ours=_ours(values, name),
        verdict=Verdict.NOT_APPLICABLE,
    )
    if band is None:
        return row
    if effort is Effort.QUICK:
        return evolve(row, verdict=Verdict.INCONCLUSIVE, remark="quick judges nothing")
    inside = {band.holds(v, v) for v in values}
    if len(inside) > 1:
        return evolve(row, verdict=Verdict.INCONCLUSIVE, remark="some seeds lie in the band and some do not")
    verdict = Verdict.PASS if inside == {True} else Verdict.FAIL
    return evolve(row, verdict=verdict, remark=SINGLE if len(values) == 1 else "")


def _ours(values: np.ndarray[Any, np.dtype[np.float64]], name: str) -> Ours:
    n = len(values)
    mean, basis = float(values.mean()), f"{n} seed{'' if n == 1 else 's'}, 1,000 states each"
    if n < 2:
        return Ours(value=mean, basis=basis)
    means = statistics.bootstrap_means(values, seed=derive_seed(0, "states", name))
    low, high = statistics.expanded_interval(means, n)
    return Ours(value=mean, low=min(low, mean), high=max(high, mean), basis=basis)
