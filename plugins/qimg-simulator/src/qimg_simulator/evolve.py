"""The whole list of stages as one differentiable function (imports torch and `stages`).

Up to `SAVED_WIRES` wires the states between the stages are kept for the backward pass; above, they
are computed backwards from the final state, which is possible because every stage is unitary, and
the memory does not grow with the depth. Noisy stages are not unitary: their states are always kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_simulator.stages import Phase, Step, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

SAVED_WIRES = 10


class _Evolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        psi: Tensor,
        steps: Sequence[Step],
        unitary: bool,
        sizes: tuple[int, ...],
        shared: Tensor,
        rows: Tensor,
        *blocks: Tensor,
    ) -> Tensor:
        values = Values(dict(zip(sizes, blocks, strict=True)), shared, rows)
        keep = any(ctx.needs_input_grad) and not (unitary and psi.shape[0] > 2**SAVED_WIRES)
        states = []
        for step in steps:
            if keep:
                states.append(psi)
                psi = step.apply(psi, values, keep=True) if isinstance(step, Phase) else step.apply(psi, values)
            else:
                psi = step.apply(psi, values)
        ctx.steps, ctx.sizes, ctx.phases, ctx.kept = steps, sizes, values.phases, keep
        ctx.save_for_backward(psi, shared, rows, *blocks, *states)
        return psi

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        after, shared, rows, *rest = ctx.saved_tensors
        blocks, states = rest[: len(ctx.sizes)], rest[len(ctx.sizes) :]
        values = Values(dict(zip(ctx.sizes, blocks, strict=True)), shared, rows)
        values.phases = ctx.phases
        grads = values.zeros()
        cotangent = cotangent.contiguous()
        for i in range(len(ctx.steps) - 1, -1, -1):
            step = ctx.steps[i]
            before = states[i] if ctx.kept else step.adjoint(after, values)
            step.pull(before, after, cotangent, values, grads)
            if i > 0 or ctx.needs_input_grad[0]:
                cotangent = step.adjoint(cotangent, values)
            after = before
        first = cotangent if ctx.needs_input_grad[0] else None
        return (first, None, None, None, grads.shared, grads.rows, *(grads.blocks[s] for s in ctx.sizes))


def evolve(
    psi: Tensor, steps: Sequence[Step], blocks: dict[int, Tensor], shared: Tensor, rows: Tensor, *, unitary: bool = True
) -> Tensor:
    """Apply all steps to a state (dim, B); differentiable once in every tensor.

    Args:
        psi: amplitudes (2**n, B), or a Pauli vector (4**n, B).
        steps: what happens to it.
        blocks: matrices of `stages.Dense` by wires per block.
        shared: angles that the rows share, (m,).
        rows: angles by row, (m, B).
        unitary: every step is, so that states may be computed backwards.
    """
    if not steps:
        return psi
    out: Tensor = _Evolve.apply(psi.contiguous(), tuple(steps), unitary, tuple(blocks), shared, rows, *blocks.values())  # type: ignore[no-untyped-call]
    return out
