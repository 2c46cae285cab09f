"""What a job will take of the quantum computer, before it is sent, and what may be asked at once (imports job, errors).

IBM bills quantum seconds. Its guide gives a formula that leaves error mitigation out; qimg uses none of IBM's.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.capabilities import Mismatch
from qimg_core.errors import CapabilityError
from qimg_core.job import Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = "qpu_seconds"
FORMULA_DATE = "2026-04-09"
FORMULA = (
    "2 s for each job + executions x (repetition delay + circuit length); "
    "https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time"
)
OVERHEAD = 2.0
"""Seconds for each job: loading it into the control electronics."""
DEFAULT_DELAY = 250e-6
"""Seconds between shots where a device does not say; what most of IBM's devices say."""
MAX_EXECUTIONS = 10_000_000
"""Circuits after broadcasting times shots (https://quantum.cloud.ibm.com/docs/guides/job-limits, read 2026-11)."""
MAX_SECONDS = 10_800
"""The service ends every job after three hours of the device's time (same place and date)."""
MAX_SHOTS = 100_000
"""Of one circuit: what the devices' own documents say. No longer enforced, IBM says; nothing needs more at once."""
MAX_ROWS = 300
"""Of one job, so that its result stays at some megabytes."""


@frozen(kw_only=True)
class Usage:
    """One job.

    Args:
        executions: rows times settings times shots.
        seconds: by IBM's formula.
    """

    executions: int
    seconds: float

    @property
    def bound(self) -> int:
        """Seconds after which IBM cancels the job: twice the estimate and ten more, three hours at most."""
        return min(MAX_SECONDS, math.ceil(2 * self.seconds + 10))


def usage_of(rows: int, shots: int, circuits: Sequence[float | None], delay: float | None) -> Usage:
    """By IBM's formula.

    Args:
        rows: of the job.
        shots: of each row and circuit.
        circuits: seconds of one shot of each setting's circuit; None counts as nothing.
        delay: seconds between shots.
    """
    pause = DEFAULT_DELAY if delay is None else delay
    seconds = OVERHEAD + rows * shots * sum(pause + (c or 0.0) for c in circuits)
    return Usage(executions=rows * shots * len(circuits), seconds=seconds)


def most_rows(shots: int, circuits: Sequence[float | None], delay: float | None) -> int:
    """Rows of one job that stay within `MAX_EXECUTIONS`, `MAX_SECONDS` and `MAX_ROWS`; 1 where even one does not.

    Args:
        shots: of each row and circuit.
        circuits: seconds of one shot of each setting's circuit.
        delay: seconds between shots.
    """
    row = usage_of(1, shots, circuits, delay)
    by_time = (MAX_SECONDS - OVERHEAD) / max(row.seconds - OVERHEAD, 1e-9)
    return max(1, min(MAX_ROWS, MAX_EXECUTIONS // row.executions, int(by_time)))


def check_limits(device: str, found: Usage) -> None:
    """Refuse what IBM would.

    Raises:
        CapabilityError
    """
    wrong = []
    if found.executions > MAX_EXECUTIONS:
        wrong.append(Mismatch("executions of one job", f"{found.executions:,}", f"up to {MAX_EXECUTIONS:,}"))
    if found.seconds > MAX_SECONDS:
        wrong.append(Mismatch("seconds of one job", f"{found.seconds:.0f}", f"up to {MAX_SECONDS:,}"))
    if wrong:
        raise CapabilityError(device, wrong, hint="fewer shots, or fewer rows in a request")


def cost_of(jobs: Sequence[Usage]) -> Cost:
    """Of all jobs: by the formula, and at most what the bound of each allows."""
    low = Decimal(repr(round(sum(j.seconds for j in jobs), 3)))
    high = Decimal(sum(j.bound for j in jobs))
    return Cost(
        low=low,
        high=max(low, high),
        unit=UNIT,
        basis=f"{FORMULA}; at most the max_execution_time that each job is sent with",
        date=FORMULA_DATE,
    )
