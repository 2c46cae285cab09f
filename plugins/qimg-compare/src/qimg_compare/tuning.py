"""The trials of a plan, each in its process, and the choice in the ledger (imports runner, trial_choice).

They are made before the first run. What was tried is never tried again.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from qimg_compare.result import read_result, trial_folder
from qimg_compare.runner import Failure, Key, reason_of, run_context, side_by_side
from qimg_compare.trial_choice import trials_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qimg_compare.plan import ComparePlan
    from qimg_core.plugins import Registry


def run_trials(
    plan: ComparePlan,
    folder: Path,
    *,
    registered: str,
    registry: Registry,
    jobs: int = 1,
    done: Callable[[str, int, str | None], None] | None = None,
) -> tuple[Failure, ...]:
    """Make every trial that has no result yet.

    Args:
        plan: its canonical form lies in the folder already.
        folder: of the comparison.
        registered: digest of the entry that holds the plan.
        registry: says which modules the processes will need.
        jobs: processes at a time.
        done: called with arm, position and the reason of a failure (None: it went well) after each trial.

    Returns:
        trials that failed; the others went on.
    """
    there = trials_of(plan, folder)
    # Positions are the outer loop: trials of several arms run close together in time.
    rounds = max((a.tried for a in plan.tuned), default=0)
    order = {a.name: list(a.draws(plan.seed)) for a in plan.tuned}
    todo = [(name, at[k]) for k in range(rounds) for name, at in order.items() if k < len(at)]
    todo = [key for key in todo if key not in there]
    if not todo:
        return ()
    context, failures = run_context(plan, registry), []

    def begin(key: Key) -> Any:
        return start_trial(context, folder, *key, registered)

    with closing(side_by_side(jobs, begin, lambda: todo.pop(0) if todo else None)) as ended:
        for (arm, at), code in ended:
            own = trial_folder(folder, arm, at)
            found = read_result(own, plan=plan.digest, arm=arm, seed=plan.trial_seed, trial=at)
            reason = None if found is not None else reason_of(own, code)
            if reason is not None:
                words = f"trial at point {at} of its grid: {reason}"
                failures.append(Failure(arm=arm, seed=plan.trial_seed, reason=words))
            if done is not None:
                done(arm, at, reason)
    return tuple(failures)


def start_trial(context: Any, folder: Path, arm: str, position: int, registered: str) -> Any:
    """The process of one trial, started."""
    from qimg_compare.trial import work_trial

    given = (str(folder), arm, position, registered)
    process = context.Process(target=work_trial, args=given, name=f"{arm}-trial-{position}")
    process.start()
    return process
