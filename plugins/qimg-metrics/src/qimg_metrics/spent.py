"""What the images of one arm took: seconds, requests, shots, money (imports qimg_core's session and command line)."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

from qimg_core.cli.progress import sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_core.session import Session
    from qimg_metrics.bootstrap import Estimate


@attrs.frozen(kw_only=True)
class Spent:
    """What all images of one arm took, as this process saw it.

    Args:
        seconds: from asking for the images to having them, the first request's preparations among them.
        executions: requests to devices.
        shots: reserved for them, 0 for exact numbers.
        cost: in the provider's unit; None where a device publishes no price.
    """

    seconds: float
    executions: int
    shots: int
    cost: Decimal | None

    def to_json(self, accepted: Estimate | None) -> dict[str, Any]:
        """A plain dict without floats, shared among the accepted images where anything was asked."""
        from qimg_metrics.image.acceptance import per_accepted

        out: dict[str, Any] = {**attrs.asdict(self), "seconds": repr(round(self.seconds, 3))}
        out["cost"] = None if self.cost is None else str(self.cost)
        if accepted is None:
            return out
        units = {"seconds": "s of wall clock", "executions": "requests", "shots": "shots", "cost": "provider's unit"}
        values = {name: getattr(self, name) for name in units}
        out["per_accepted"] = {
            name: per_accepted(float(values[name]), accepted, name=f"{name}_per_accepted", unit=unit).to_json()
            for name, unit in units.items()
            if values[name] is not None
        }
        return out


def sampled(
    session: Session, model: Generator, n: int, classes: Sequence[int] | None, arm: str
) -> tuple[Images, Spent]:
    """Sample n images with the session's seed, under a bar that names the arm; and what that took."""
    recorder, spending = session.log.recorder, session.spending  # the tally is a value: ask the recorder anew
    before = (recorder.tally.executions, spending.shots, spending.cost)
    start = time.perf_counter()
    with sampling(session, model.workload(n).requests, f"{n} images of {arm}"):
        images = model.sample(n, condition=classes, seed=session.seed)
    seconds = time.perf_counter() - start
    cost = Decimal(spending.cost - before[2])
    spent = Spent(
        seconds=seconds,
        executions=recorder.tally.executions - before[0],
        shots=spending.shots - before[1],
        cost=None if spending.budget.allow_unknown_cost and not cost else cost,  # 0 may then mean not known
    )
    return images, spent
