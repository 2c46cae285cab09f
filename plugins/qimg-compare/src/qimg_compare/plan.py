"""`ComparePlan`: what will be compared, written down before anything runs (imports grid, qimg_core; not torch).

The digest is over the canonical form with every default filled in, so two files that mean the same have one digest,
and whatever would change a result changes it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, fields, frozen

from qimg_compare.grid import drawn, point, points
from qimg_core.errors import UnknownName
from qimg_core.generator import Arm
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "qimg.compare.plan/1"
SEEDS = 10
QUICK = 3
SMALLEST = 1000
"""Images of an arm below which ``allow_small`` must be said."""


class Role(StrEnum):
    """Which question an arm answers."""

    QUANTUM = "quantum"
    SEPARABLE = "separable"  # is entanglement used?
    FROZEN = "frozen"  # is training the circuit useful?
    FIXED_OBSERVABLE = "fixed-observable"  # is training the observable useful?
    CLASSICAL_LOSS = "classical-loss"  # is a quantum kernel in the loss useful?
    SKIP_CUT = "skip-cut"  # what is left where nothing goes past the layer?
    PARAMETER_MATCHED = "parameter-matched"  # a classical layer of as many parameters
    LATENCY_MATCHED = "latency-matched"  # a classical layer that is trained for as long as the circuit
    SURROGATE = "surrogate"  # can the circuit be replaced by a classical stand-in?
    BYPASS = "bypass"  # is the layer needed at all?
    BEST_CLASSICAL = "best-classical"  # no constraints


ROLES = {
    Arm.QUANTUM: Role.QUANTUM,
    Arm.TWIN: Role.PARAMETER_MATCHED,
    Arm.SEPARABLE: Role.SEPARABLE,
    Arm.FROZEN: Role.FROZEN,
    Arm.BYPASS: Role.BYPASS,
}
CLASSICAL = frozenset({Role.PARAMETER_MATCHED, Role.LATENCY_MATCHED, Role.SURROGATE, Role.BYPASS, Role.BEST_CLASSICAL})
CONTROLS = ("real", "copy")
"""Held-out real images that no arm is judged by, and images of the training set."""
MATCHED = ("parameters", "trials", "steps", "executions", "shots", "time", "money", "data")
KPIS = {"time": "seconds_per_accepted_image", "money": "cost_per_accepted_image"}


@frozen(kw_only=True)
class ArmPlan:
    """One arm.

    Args:
        name: in tables.
        generator: which model.
        arm: which form of it.
        role: which question it answers.
        settings: of the model; reals as text.
        weights: a shipped name or a file, ``{seed}`` in it stands for the paired seed; None: trained here.
        steps: of the training; 0 with weights, and where ``time_of`` decides.
        trials: of tuning, drawn from the grid (every point where it has no more); without one, as declared.
        backend, noise, shots: where and how its circuits run.
        max_cost: what a session of it may spend, exactly, in the provider's unit; a device that is paid for needs it.
        time_of: the arm whose measured training time at the same seed this one is trained for.
        surrogate_of: the arm whose weights make the images here, its circuit replaced by a fitted surrogate.
        grid: settings that the trials vary, each with its values; empty: nothing is tuned.
        trial_steps: of the training of each trial; 0 without a grid.
    """

    name: str
    generator: str
    arm: Arm
    role: Role
    settings: Mapping[str, Any] = field(factory=dict, hash=False)
    weights: str | None = None
    steps: int = 0
    trials: int = 1
    backend: str = "simulator"
    noise: str | None = None
    shots: int | None = None
    max_cost: str | None = None
    time_of: str | None = None
    surrogate_of: str | None = None
    grid: Mapping[str, list[Any]] = field(factory=dict, hash=False)
    trial_steps: int = 0

    @property
    def tried(self) -> int:
        """Trials of this arm: those that its grid gives, or those declared."""
        return min(self.trials, points(self.grid)) if self.grid else self.trials

    def draws(self, seed: int) -> dict[int, dict[str, Any]]:
        """What the trials vary, by position in the grid, in the order of drawing; ``seed`` is the plan's."""
        return {at: point(self.grid, at) for at in drawn(self.grid, self.trials, seed)}

    @property
    def needs(self) -> str | None:
        """The arm whose run at the same seed has to be there first."""
        return self.time_of or self.surrogate_of

    def to_json(self) -> dict[str, Any]:
        """Canonical form, without floats; what most arms do not have is left out of those."""
        found = {f.name: getattr(self, f.name) for f in fields(ArmPlan)}
        for key in ("time_of", "surrogate_of", "grid", "trial_steps"):
            if not found[key]:
                del found[key]
        return {**found, "arm": self.arm.value, "role": self.role.value, "settings": dict(self.settings)}


@frozen(kw_only=True)
class ComparePlan:
    """The whole comparison.

    Args:
        name: of the question; a later plan of the same name is seen to be a change.
        data: dataset, by name or path.
        size: of its images in pixels; None as they are.
        seeds: the paired seeds; the first three are the quick ones.
        n: images of each run.
        primary: the metric that decides.
        metrics: the others.
        margin: in units of the primary metric; None: half the seed SD of the parameter-matched arm.
        network: feature network: shipped name, file, or ``trained`` on the training images here.
        allow_small: go on below 1,000 images.
        candidate: the quantum arm that the verdict is about.
        reference: the classical arm it is held against.
        matched: budgets that were made equal; all are reported.
        kpi: ``time`` or ``money`` for an accepted image.
        target: what the KPI should stay under; None: no target.
        controls: ``real``, ``copy``.
        seed: root of what the arms share: feature network, reference, bootstrap.
        arms: in the order of the tables.
        trial_metric: what the trials are judged by; None where nothing is tuned.
    """

    name: str
    data: str
    size: int | None
    seeds: tuple[int, ...]
    n: int
    primary: str
    metrics: tuple[str, ...]
    margin: float | None
    network: str
    allow_small: bool
    candidate: str
    reference: str
    matched: tuple[str, ...]
    kpi: str
    target: float | None
    controls: tuple[str, ...]
    seed: int
    arms: tuple[ArmPlan, ...]
    trial_metric: str | None = None

    @property
    def tuned(self) -> tuple[ArmPlan, ...]:
        """The arms with a grid."""
        return tuple(a for a in self.arms if a.grid)

    @property
    def trial_seed(self) -> int:
        """The seed of every trial: the smallest whole number that is no seed of the comparison."""
        return next(s for s in range(len(self.seeds) + 1) if s not in self.seeds)

    def arm(self, name: str) -> ArmPlan:
        """An arm by name.

        Raises:
            UnknownName
        """
        found = {a.name: a for a in self.arms}
        if name not in found:
            raise UnknownName("arm", name, found)
        return found[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Arms, then controls."""
        return (*(a.name for a in self.arms), *self.controls)

    @property
    def every_metric(self) -> tuple[str, ...]:
        """The primary metric, then the others, then the KPI."""
        return tuple(dict.fromkeys((self.primary, *self.metrics, KPIS[self.kpi])))

    def to_json(self) -> dict[str, Any]:
        """Canonical form: JSON without floats."""
        found: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(ComparePlan)}
        for key in ("margin", "target"):
            found[key] = None if found[key] is None else canonical.real(found[key])
        if self.trial_metric is None:
            del found["trial_metric"]
        lists = {key: list(found[key]) for key in ("seeds", "metrics", "matched", "controls")}
        return {"schema": SCHEMA, **found, **lists, "arms": [a.to_json() for a in self.arms]}

    @property
    def digest(self) -> str:
        """``sha256:`` of the canonical form."""
        return sha256_digest(canonical.dumps(self.to_json()))

    @property
    def folder(self) -> str:
        """A folder name that no other plan has."""
        return f"{self.name}-{self.digest[7:19]}"


def plan_from_json(document: Mapping[str, Any]) -> ComparePlan:
    """Read `ComparePlan.to_json` back."""
    d = {k: v for k, v in document.items() if k != "schema"}
    for key in ("margin", "target"):
        d[key] = None if d[key] is None else float(d[key])
    for key in ("seeds", "metrics", "matched", "controls"):
        d[key] = tuple(d[key])
    arms = (ArmPlan(**{**a, "arm": Arm(a["arm"]), "role": Role(a["role"])}) for a in d.pop("arms"))
    return ComparePlan(**d, arms=tuple(arms))
