"""A whole noisy circuit as one differentiable function, its gradient written by hand (imports torch).

The state starts as a product and is pushed through the steps; observables that became products of
Pauli vectors are pulled towards it, and where they meet is the answer. Only the steps between the two
products cost 4**n numbers at all, and they run on the columns of whichever side has fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_simulator.noisy_steps import Numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_simulator.affine import Affine
    from qimg_simulator.noisy_product import Rows, Start
    from qimg_simulator.noisy_runs import Kron, RunBank
    from qimg_simulator.noisy_steps import Step


@frozen(eq=False)
class Path:
    """One way through a circuit.

    Args:
        bank: its runs.
        start: its product state.
        turns: the angles by row of its `noisy_steps.Turn`.
        kron: the blocks of its steps.
        pushed: steps that the state goes through, in order.
        pulled: the steps after those, which the observables go through.
        read: the observables, or which entries of the state to read; None for all of it.
        scale: what each value is multiplied by, (terms,); not looked at for the whole state.
    """

    bank: RunBank
    start: Start
    turns: Affine
    kron: Kron
    pushed: tuple[Step, ...]
    pulled: tuple[Step, ...]
    read: Rows | Tensor | None
    scale: Tensor


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, path: Path, shared: Tensor, rows: Tensor, *registers: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        values = path.bank.evaluate(shared)
        blocks, kron_tape = path.kron.evaluate(values.runs)
        numbers = Numbers(blocks, path.turns.evaluate(rows) if path.turns.size else rows[:0])
        x, start_tape = path.start.evaluate(values.runs, rows, registers)
        if path.turns.size and len(x) == 1:
            x = x.expand(rows.shape[1], -1).contiguous()
        states: list[Tensor | None] = []
        observables: list[Tensor | None] = []
        for step in path.pushed:
            if keep:
                states.append(x if step.learns else None)
            x = step.push(x, numbers)
        last: Any = None
        if path.read is None:
            out = x  # not kept: a function must not hold its own result
        elif isinstance(path.read, Tensor):
            out, last = x.index_select(1, path.read).mul_(path.scale), len(x)
        else:
            e, read_tape = path.read.evaluate(values.runs)
            for step in reversed(path.pulled):
                if keep:
                    observables.append(e if step.learns else None)
                e = step.pull(e, numbers)
            out, last = torch.mm(x, e.t()).mul_(path.scale), (x, e, read_tape)
        if keep:
            ctx.save_for_backward(shared, rows)
            ctx.path, ctx.last = path, last
            ctx.kept = (values, numbers, kron_tape, start_tape, states, observables)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        # torch refuses a second derivative only where the cotangent has one: a linear loss would lose its silently
        if torch.is_grad_enabled() and not g.requires_grad:
            g = g.detach().requires_grad_()
        if not torch.is_autocast_enabled(g.device.type):
            return _Run.once(ctx, g)  # type: ignore[no-any-return]
        with torch.autocast(g.device.type, enabled=False):
            return _Run.once(ctx, g)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def once(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """`backward`, without a derivative of its own."""
        shared, rows = ctx.saved_tensors
        path: Path = ctx.path
        values, numbers, kron_tape, start_tape, states, observables = ctx.kept
        _, want_shared, want_rows, *_ = ctx.needs_input_grad
        runs = torch.zeros_like(values.runs) if want_shared else None
        by_row = torch.zeros_like(rows) if want_rows else None
        numbers.wanted(blocks=want_shared, angles=want_rows)
        if path.read is None:
            g = g.contiguous()
        elif isinstance(path.read, Tensor):
            found = g.new_zeros(ctx.last, 4**path.start.n)
            g = found.index_add_(1, path.read, g * path.scale)
        else:
            x, e, read_tape = ctx.last
            g = g * path.scale
            if runs is not None:
                of_e = torch.mm(g.t(), x)
                for step, before in zip(path.pulled, reversed(observables), strict=True):
                    pushed = step.push(of_e, numbers)
                    if before is not None:
                        step.learn(of_e, before, pushed, numbers)
                    of_e = pushed
                path.read.pull(read_tape, of_e, runs)
            g = torch.mm(g, e)
        for step, before in zip(reversed(path.pushed), reversed(states), strict=True):
            pulled = step.pull(g, numbers)
            if before is not None:
                step.learn(before, g, pulled, numbers)
            g = pulled
        registers = path.start.pull(start_tape, g, rows, runs, by_row)
        if by_row is not None and numbers.of_angles is not None and path.turns.size:
            path.turns.pull(numbers.of_angles, by_row)
        weights = None
        if runs is not None:
            path.kron.pull(kron_tape, numbers.of_blocks, runs)
            weights = path.bank.pull(values, runs, shared)
        return (None, weights, by_row, *registers)


def run(path: Path, shared: Tensor, rows: Tensor, registers: Sequence[Tensor] = ()) -> Tensor:
    """The state (C, 4**n) or the values (C, terms) at the end of a path; differentiable once.

    C is 1 where nothing differs from row to row, else B.

    Args:
        path: of a frozen bank and start.
        shared: parameters that the rows share, (m,).
        rows: parameters by row, (m, B).
        registers: Pauli vectors (B, 4**k) of the prepared wires.
    """
    if not torch.is_autocast_enabled(rows.device.type):
        return _Run.apply(path, shared, rows, *registers)  # type: ignore[no-any-return, no-untyped-call]
    with torch.autocast(rows.device.type, enabled=False):  # precision is the request's
        return _Run.apply(path, shared, rows, *registers)  # type: ignore[no-any-return, no-untyped-call]
