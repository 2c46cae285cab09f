"""The tuning trials in the report: what each found, what was chosen, what they took (imports trial_choice, table)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qimg_compare.scales import scale_of
from qimg_compare.table import Table
from qimg_metrics.bootstrap import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_compare.plan import ComparePlan
    from qimg_compare.trial_choice import Tuning

TRIAL_HEAD = ("trial steps", "trial s", "trial executions", "trial shots", "trial cost")


def trial_budget(tuning: Sequence[Tuning], arm: str) -> tuple[str, ...]:
    """What an arm's trials took together, under `TRIAL_HEAD`; dashes for an arm without, nothing where no arm has any.

    Args:
        tuning: of the comparison.
        arm: or control.
    """
    if not tuning:
        return ()
    found = next((t for t in tuning if t.arm == arm), None)
    if found is None:
        return ("-",) * len(TRIAL_HEAD)
    return (
        str(sum(t.steps for t in found.trials)),
        f"{sum(t.seconds for t in found.trials):.1f}",
        str(sum(t.executions for t in found.trials)),
        str(sum(t.shots for t in found.trials)),
        number(float(sum((Decimal(t.cost) for t in found.trials), Decimal(0)))),
    )


def tuning_table(plan: ComparePlan, tuning: Sequence[Tuning]) -> Table:
    """Every trial of every arm, in the order of drawing."""
    rows = [
        (t.arm, words(trial.settings), str(trial.steps), number(trial.value), "chosen" if trial is t.best else "")
        for t in tuning
        for trial in t.trials
    ]
    metric = plan.trial_metric or plan.primary
    return Table(
        title="Tuning trials",
        head=("arm", "settings", "steps", f"{metric} ({scale_of(metric).value})", ""),
        rows=tuple(rows),
        note=f"Each trial is one training at seed {plan.trial_seed}, which is no seed of the comparison, judged by "
        "training images held out of it; the chosen settings are those of the arm's runs.",
    )


def words(settings: Mapping[str, Any]) -> str:
    """Settings as text: ``lr = 0.01, wires = 4``."""
    return ", ".join(f"{k} = {v if isinstance(v, str) else json.dumps(v)}" for k, v in settings.items())
