"""What a plan says about its tuning trials, read and checked (imports plan, grid, scales)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_compare.grid import MOST, points
from qimg_compare.scales import IMAGES
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_compare.plan import ArmPlan, ComparePlan

SHARE = 10
"""A trial is trained for this part of its arm's steps, where the plan says nothing else."""


def plain(key: str, value: Any) -> Any:
    """A setting as the plan keeps it: reals as text.

    Raises:
        ConfigurationError: dates, tables.
    """
    if isinstance(value, float):
        return canonical.real(value)
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, list):
        return [plain(key, v) for v in value]
    raise ConfigurationError(f"the setting {key!r} is text, a number, true, false or a list, got {value!r}")


def grid_of(where: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The grid of an arm: a list of different values for each setting that it varies.

    Raises:
        ConfigurationError: no list, values twice, a setting that has a value already, too many points.
    """
    found: dict[str, list[Any]] = {}
    for key, values in given.items():
        if not isinstance(values, list) or not values:
            raise ConfigurationError(
                f"{where}: the grid gives {key!r} a list of values, got {values!r}", hint=f"{key} = [...]"
            )
        if key in settings:
            raise ConfigurationError(
                f"{where}: {key!r} is in the settings and in the grid", hint="take it out of one of them"
            )
        made = [plain(key, v) for v in values]
        if len({canonical.dumps(v) for v in made}) != len(made):
            raise ConfigurationError(f"{where}: the grid has a value of {key!r} twice, got {values!r}")
        found[key] = made
    if points(found) > MOST:
        raise ConfigurationError(f"{where}: the grid has {points(found)} points, {MOST} at most")
    return found


def steps_of_trials(where: str, given: int | None, steps: int) -> int:
    """Steps of each trial: as given, else a tenth of the arm's.

    Raises:
        ConfigurationError: below 1, or nothing given for an arm whose steps are not known.
    """
    if given is None and steps == 0:
        raise ConfigurationError(f"{where} has a grid and no steps of its own", hint="trial_steps = 200")
    found = max(1, steps // SHARE) if given is None else given
    if found < 1:
        raise ConfigurationError(f"{where}: trial_steps is 1 or more, got {found}")
    return found


def surrogates_counted(arms: Sequence[ArmPlan]) -> tuple[ArmPlan, ...]:
    """A surrogate of a tuned arm has that arm's weights, so it has had that arm's trials."""
    tuned = {a.name: a.tried for a in arms if a.grid}
    return tuple(
        evolve(a, trials=tuned[a.surrogate_of]) if a.surrogate_of is not None and a.surrogate_of in tuned else a
        for a in arms
    )


def check_trials(plan: ComparePlan) -> None:
    """Whether the trials of a plan can be made and are what it says.

    Raises:
        UnknownName: a trial metric that does not exist.
        ConfigurationError: trials without a grid or a grid without trials, unequal ones where they are said to match.
    """
    for arm in plan.arms:
        if arm.grid and (arm.trials < 2 or points(arm.grid) < 2):
            raise ConfigurationError(
                f"the arm {arm.name!r} has a grid of {points(arm.grid)} points and trials = {arm.trials}: "
                "nothing could be chosen",
                hint="trials = 4 and two points or more; a single value belongs into the settings",
            )
        if not arm.grid and arm.trials > 1 and arm.weights is None and arm.surrogate_of is None:
            raise ConfigurationError(
                f"the arm {arm.name!r} wants {arm.trials} trials and has no grid to draw settings from",
                hint=f"[arms.{arm.name}.grid] or [grid] with a list of values for each setting; or trials = 1",
            )
    counts = {a.name: a.tried for a in plan.arms}
    if "trials" in plan.matched and len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigurationError(
            f"the plan says that trials are matched, but the arms have {said}",
            hint="an arm has as many as its grid has points, and trials at most; make them equal, or leave trials "
            "out of matched",
        )
    if plan.trial_metric is None:
        return
    if not plan.tuned:
        raise ConfigurationError("trial_metric is said, but no arm has a grid", hint="[grid] or [arms.NAME.grid]")
    if plan.trial_metric not in IMAGES:
        if plan.trial_metric == plan.primary:
            raise ConfigurationError(
                f"trials cannot be judged by {plan.primary}, which is not measured on images",
                hint='trial_metric = "kid"',
            )
        raise UnknownName("trial metric", plan.trial_metric, IMAGES)
