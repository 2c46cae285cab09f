"""Which settings the trials of an arm chose, and that they reach its runs (imports plan, result, scales).

Each arm's best trial is the one with the best value of the plan's trial metric; of equals the first in the order of
drawing. The choice of all arms is one entry of the ledger before the first run, and one file for the runs to read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, field, frozen

from qimg_compare.result import read_result, trial_folder
from qimg_compare.scales import Better, scale_of
from qimg_compare.verdict import turned
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qimg_compare.plan import ArmPlan, ComparePlan
    from qimg_compare.registration import Registration
    from qimg_compare.result import RunResult
    from qimg_core.ledger.entry import Entry
    from qimg_core.session import Session

CHOSEN = "compare.chosen"
FILE = "chosen.json"


@frozen(kw_only=True)
class Trial:
    """One trial of an arm.

    Args:
        position: in the arm's grid.
        settings: that it tried.
        value: of the trial metric.
        steps: of its training.
        seconds: of its training and sampling.
        executions, shots: of both.
        cost: upper bound, exactly, in the provider's unit.
        result: digest of its result file.
        log: head of its own log.
    """

    position: int
    settings: Mapping[str, Any] = field(hash=False)
    value: float
    steps: int
    seconds: float
    executions: int
    shots: int
    cost: str
    result: str
    log: Mapping[str, Any] | None = field(hash=False)

    def to_json(self) -> dict[str, Any]:
        """Without floats."""
        return {
            **{k: getattr(self, k) for k in ("position", "steps", "executions", "shots", "cost", "result", "log")},
            "settings": dict(self.settings),
            "value": canonical.real(self.value),
            "seconds": canonical.real(self.seconds),
        }


@frozen(kw_only=True)
class Tuning:
    """The trials of an arm in the order of drawing, and the one whose settings its runs get."""

    arm: str
    metric: str
    trials: tuple[Trial, ...]
    best: Trial

    def to_json(self) -> dict[str, Any]:
        """Without floats."""
        return {
            "arm": self.arm,
            "metric": self.metric,
            "chosen": self.best.position,
            "settings": dict(self.best.settings),
            "trials": [t.to_json() for t in self.trials],
        }


def best(metric: str, trials: Sequence[Trial]) -> Trial:
    """The trial with the best value of a metric; of equals the first."""
    values = turned(metric, np.array([t.value for t in trials]))
    return trials[int(values.argmax() if scale_of(metric) is Better.LARGER else values.argmin())]


def trials_of(plan: ComparePlan, folder: Path) -> dict[tuple[str, int], tuple[RunResult, str]]:
    """Results of trials that are there, by arm and position, each with the digest of its file."""
    wanted = [(a.name, at) for a in plan.tuned for at in a.draws(plan.seed)]
    out = {}
    for arm, at in wanted:
        own = trial_folder(folder, arm, at)
        found = read_result(own, plan=plan.digest, arm=arm, seed=plan.trial_seed, trial=at)
        if found is not None:
            out[arm, at] = found
    return out


def tunings(plan: ComparePlan, results: Mapping[tuple[str, int], tuple[RunResult, str]]) -> tuple[Tuning, ...]:
    """What the trials of every arm with a grid chose.

    Args:
        plan: of the comparison.
        results: of `trials_of`, every one of them.

    Raises:
        ConfigurationError: a trial without a finite value of the trial metric.
    """
    metric, out = plan.trial_metric or plan.primary, []
    for arm in plan.tuned:
        trials = tuple(_trial(metric, *results[arm.name, at]) for at in arm.draws(plan.seed))
        out.append(Tuning(arm=arm.name, metric=metric, trials=trials, best=best(metric, trials)))
    return tuple(out)


def _trial(metric: str, result: RunResult, digest: str) -> Trial:
    found = result.metrics.get(metric)
    if found is None or not np.isfinite(found.value):
        raise ConfigurationError(
            f"the trial of {result.arm} at {dict(result.tuned)} has no value of {metric}, so nothing can be chosen",
            hint="trial_metric = ... names another one",
        )
    assert result.trial is not None
    log = result.log
    return Trial(
        position=result.trial,
        settings=result.tuned,
        value=found.value,
        steps=result.steps,
        seconds=(result.train_seconds or 0.0) + result.sample_seconds,
        executions=result.train_executions + result.sample_executions,
        shots=result.train_shots + result.sample_shots,
        cost=str(result.cost),
        result=digest,
        log=None if log is None else {"origin": log.origin, "size": log.size, "checkpoint": log.checkpoint},
    )


def record_choice(session: Session, plan: ComparePlan, registration: Registration, chosen: Sequence[Tuning]) -> Entry:
    """The entry that holds the choice; the same choice is written once.

    Args:
        session: of the project's ledger.
        plan: of the comparison.
        registration: of it.
        chosen: of every arm with a grid.
    """
    text = canonical.dumps([t.to_json() for t in chosen])
    for entry in session.ledger.entries(kind=CHOSEN, start=registration.entry):
        if entry.facts.get("plan") == plan.digest and entry.artefacts == {"trials": sha256_digest(text)}:
            return entry
    arms = [{"arm": t.arm, "trials": len(t.trials), "chosen": t.best.position} for t in chosen]
    facts = {
        "schema": "qimg.compare.chosen/1",
        "name": plan.name,
        "plan": plan.digest,
        "planned_entry": registration.entry,
        "metric": plan.trial_metric,
        "seed": plan.trial_seed,
        "arms": [{**a, "settings": dict(t.best.settings)} for a, t in zip(arms, chosen, strict=True)],
        "artefacts": {"trials": session.put(text)},
    }
    return session.record(CHOSEN, facts)


def keep_choice(folder: Path, plan: ComparePlan, entry: str, chosen: Sequence[Tuning]) -> None:
    """The file that the runs read; ``entry`` is the digest of the ledger's entry."""
    arms = {t.arm: dict(t.best.settings) for t in chosen}
    write_atomic(folder / FILE, canonical.dumps({"plan": plan.digest, "entry": entry, "arms": arms}))


@frozen(kw_only=True)
class Settled:
    """What was chosen for a run, and the digest of the entry that says so; nothing and None without a grid."""

    settings: Mapping[str, Any] = field(factory=dict, hash=False)
    entry: str | None = None


def settled(home: Path, plan: ComparePlan, arm: ArmPlan) -> tuple[ArmPlan, Settled]:
    """An arm with the settings that were chosen for it; a surrogate gets those of the arm it stands in for.

    Raises:
        ConfigurationError: nothing was chosen yet for an arm with a grid.
    """
    source = arm if arm.surrogate_of is None else plan.arm(arm.surrogate_of)
    if not source.grid:
        return arm, Settled()
    try:
        document = json.loads((home / FILE).read_bytes())
    except FileNotFoundError:
        document = {}
    if document.get("plan") != plan.digest:
        raise ConfigurationError(f"nothing was chosen yet for the arm {source.name!r}", hint="qimg compare PLAN.toml")
    chosen = Settled(settings=document["arms"][source.name], entry=document["entry"])
    return evolve(arm, settings={**arm.settings, **chosen.settings}), chosen
