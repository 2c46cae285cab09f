"""What an image of a run takes: seconds and money, each for an image and for an accepted one (imports qimg_metrics)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qimg_compare.result import Measured
from qimg_metrics.image.acceptance import per_accepted

if TYPE_CHECKING:
    from qimg_compare.result import RunResult
    from qimg_metrics.bootstrap import Estimate


def operation(result: RunResult, share: Estimate | None) -> dict[str, Measured]:
    """Seconds and money of an image, and of an accepted one; without classes, every image is accepted."""

    def each(e: Estimate) -> Measured:
        high = e.high if math.isfinite(e.high) else e.value  # perhaps none is accepted: no upper end can be given
        return Measured(value=e.value, low=e.low, high=high, n=e.n)

    seconds = result.sample_seconds / result.n
    made = {"seconds_per_image": Measured(value=seconds, low=seconds, high=seconds, n=result.n)}
    for name, total in (("seconds", result.sample_seconds), ("cost", float(result.cost))):
        whole = f"{name}_per_accepted_image"
        if share is None:
            made[whole] = Measured(value=total / result.n, low=total / result.n, high=total / result.n, n=result.n)
        elif share.value > 0:
            made[whole] = each(per_accepted(total, share, name=whole, unit=name))
    return made
