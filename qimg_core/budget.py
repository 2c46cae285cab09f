"""What one run may spend (floor 3; imports errors, execution)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import BudgetExceeded, UnknownCost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from qimg_core.execution import Plan
    from qimg_core.job import Cost


@frozen(kw_only=True)
class Budget:
    """Upper bounds of one run; None means no bound.

    Args:
        max_cost: in the provider's own unit.
        max_jobs: jobs sent to devices that are not free.
        max_shots: shots over all requests.
        max_depth, max_two_qubit_gates: of any circuit, as the device executes it.
        allow_unknown_cost: go on although a device publishes no price.
    """

    max_cost: Decimal | None = None
    max_jobs: int | None = None
    max_shots: int | None = None
    max_depth: int | None = None
    max_two_qubit_gates: int | None = None
    allow_unknown_cost: bool = False

    def to_json(self) -> dict[str, object]:
        return {
            "max_cost": None if self.max_cost is None else str(self.max_cost),
            "max_jobs": self.max_jobs,
            "max_shots": self.max_shots,
            "max_depth": self.max_depth,
            "max_two_qubit_gates": self.max_two_qubit_gates,
            "allow_unknown_cost": self.allow_unknown_cost,
        }


class Spending:
    """The running sum of one run. Each plan's upper bound is reserved before it is sent."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.cost: Decimal | int = 0
        self.jobs = 0
        self.shots = 0

    def reserve(self, plan: Plan) -> None:
        """Count the plan's upper bound. Raises as `check`; nothing is counted then."""
        self.check(plan)
        self.cost, self.jobs, self.shots = (
            self.cost + (plan.cost.high or 0),
            self.jobs + (0 if plan.cost.is_free else plan.n_jobs),
            self.shots + plan.total_shots,
        )

    def check(self, plan: Plan) -> None:
        """Would the plan's upper bound fit?

        Raises:
            UnknownCost: the price is not known and the budget does not allow that.
            BudgetExceeded: a bound would be passed.
        """
        budget, cost = self.budget, plan.cost
        if cost.high is None and not budget.allow_unknown_cost:
            raise UnknownCost(
                f"{plan.backend}: the price is not known ({cost.basis})",
                hint="set Budget(allow_unknown_cost=True), or --allow-unknown-cost, to go on",
            )
        jobs = 0 if cost.is_free else plan.n_jobs
        self._within("cost", self.cost + (cost.high or 0), budget.max_cost, cost)
        self._within("jobs", self.jobs + jobs, budget.max_jobs, cost)
        self._within("shots", self.shots + plan.total_shots, budget.max_shots, cost)

    def reconcile(self, estimated: Cost, billed: Sequence[Cost]) -> None:
        """Put what was billed in the place of what was reserved, where every bill is known in the same unit."""
        if estimated.high is None or any(b.high is None or b.unit != estimated.unit for b in billed):
            return
        self.cost += sum((b.high for b in billed if b.high is not None), -estimated.high)

    @staticmethod
    def _within(what: str, wanted: Decimal | int, bound: Decimal | int | None, cost: Cost) -> None:
        if bound is not None and wanted > bound:
            unit = f" {cost.unit}" if what == "cost" else ""
            raise BudgetExceeded(f"{what}: this would make {wanted}{unit}, the budget allows {bound}{unit}")
