"""Cutting a plan into jobs by rows and by shots, and merging the answers (floor 3; imports execution).

Jobs are numbered block by block: all pieces of shots of the first rows, then of the next rows. Nothing is
capped in silence: the pieces add up to what was asked, and the record names every chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import ConfigurationError
from qimg_core.execution import is_tensor
from qimg_core.measurement import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest, Plan


def split(rows: int, most: int | None) -> tuple[int, ...]:
    """Rows per block: full blocks of ``most`` and a last smaller one."""
    step = most or rows
    return tuple(min(step, rows - at) for at in range(0, rows, step))


def split_shots(shots: int | None, most: int | None) -> tuple[int, ...]:
    """Shots per piece, as even as can be; empty where one piece is enough."""
    if shots is None or most is None or shots <= most:
        return ()
    pieces = -(-shots // most)
    base, more = divmod(shots, pieces)
    return tuple(base + (k < more) for k in range(pieces))


def place(plan: Plan, job: int) -> tuple[int, int, int | None]:
    """(first row, one after the last row, shots) of a job."""
    pieces = len(plan.shots_per_job) or 1
    block, piece = divmod(job, pieces)
    start = sum(plan.rows_per_job[:block])
    shots = plan.shots_per_job[piece] if plan.shots_per_job else plan.lowered.shots
    return start, start + plan.rows_per_job[block], shots


def rows_of(plan: Plan, job: int) -> ExecutionRequest:
    """The part of the plan's lowered request that belongs to one job. Seeds differ by job."""
    from qimg_core.seeds import derive_seed

    request = plan.lowered
    if plan.n_jobs == 1:
        return request
    start, stop, shots = place(plan, job)
    request = request.by_row()
    weights = request.weights if request.weights.ndim == 1 else request.weights[start:stop]
    seed = None if request.seed is None else derive_seed(request.seed, "job", job)
    return evolve(request, inputs=request.inputs[start:stop], weights=weights, seed=seed, shots=shots)


def join(plan: Plan, parts: Sequence[Any]) -> Any:
    """The jobs' arrays as one: pieces of shots averaged by their shots (samples follow each other), rows in order."""
    if len(parts) == 1:
        return parts[0]
    if is_tensor(parts[0]):
        raise ConfigurationError("a differentiable device takes all rows of a request in one job")
    import numpy as np

    pieces = len(plan.shots_per_job) or 1
    blocks = []
    for at in range(0, len(parts), pieces):
        block = parts[at : at + pieces]
        if pieces == 1:
            blocks.append(block[0])
        elif isinstance(plan.request.measurement, Samples):
            blocks.append(np.concatenate(block, axis=1))
        else:
            blocks.append(np.average(np.stack(block), axis=0, weights=plan.shots_per_job))
    return np.concatenate(blocks)
