"""Cutting a plan into jobs by rows, and putting the answers together (floor 3; imports execution)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import ConfigurationError
from qimg_core.execution import is_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest, Plan


def split(rows: int, most: int | None) -> tuple[int, ...]:
    """Rows per job: full jobs of ``most`` and a last smaller one."""
    step = most or rows
    return tuple(min(step, rows - at) for at in range(0, rows, step))


def rows_of(plan: Plan, job: int) -> ExecutionRequest:
    """The part of the plan's lowered request that belongs to one job. Seeds differ by job."""
    from qimg_core.seeds import derive_seed

    request = plan.lowered
    if plan.n_jobs == 1:
        return request
    start = sum(plan.rows_per_job[:job])
    stop = start + plan.rows_per_job[job]
    weights = request.weights if request.weights.ndim == 1 else request.weights[start:stop]
    seed = None if request.seed is None else derive_seed(request.seed, "job", job)
    return evolve(request, inputs=request.inputs[start:stop], weights=weights, seed=seed)


def join(parts: Sequence[Any]) -> Any:
    """The jobs' arrays, one after the other along the rows."""
    if len(parts) == 1:
        return parts[0]
    if is_tensor(parts[0]):
        raise ConfigurationError("a differentiable device takes all rows of a request in one job")
    import numpy as np

    return np.concatenate(list(parts))
