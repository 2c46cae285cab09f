"""Forth and back in the regime of `block.Block`: one matrix for all rows (imports torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import define

from qimg_simulator.steps import Grads, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from qimg_simulator.bank import Made
    from qimg_simulator.entry import Entry


@define(eq=False)
class BlockTape:
    """What the way back needs."""

    made: Made
    values: Values
    states: list[Tensor]
    last: Tensor
    planes: Tensor
    features: Tensor
    own: Any
    psi: Tensor
    read: Any
    sizes: tuple[int, int, int]


def forward(
    entry: Entry, rows: Tensor, shared: Tensor, groups: int, matrices: Sequence[Tensor]
) -> tuple[Tensor, BlockTape]:
    """Values (G * B, ...), and what `backward` needs; arguments as from `entry.sources`."""
    parts, width = entry.parts, rows.shape[1] // groups
    block = parts.block
    assert block is not None
    made = parts.bank.evaluate(shared)
    values = Values(made.blocks, parts.shared_angles.evaluate(shared), rows.new_empty(0, groups, width))
    unitary, states = block.unitary(entry.steps, values)
    planes = unitary if block.real else torch.cat([unitary.real, unitary.imag], 1)
    features, own = block.features(rows)
    features = features.view(groups, width, -1)
    psi = torch.matmul(planes, features.mT)
    data, read = entry.reading.planar(psi, matrices, real=block.real)
    tape = BlockTape(made, values, states, unitary, planes, features, own, psi, read, (groups, width, rows.shape[0]))
    return data.reshape(groups * width, *data.shape[2:]), tape


def backward(entry: Entry, tape: BlockTape, cotangent: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of inputs, weights and matrices, each where ``wanted``."""
    parts, block, plan = entry.parts, entry.parts.block, entry.parts.plan
    assert block is not None
    groups, width, n_rows = tape.sizes
    g = cotangent.reshape(groups, width, *cotangent.shape[1:])
    lam, for_matrices = entry.reading.planar_pull(tape.psi, tape.read, g, any(wanted[2:]), real=block.real)
    by_row, for_rows, for_shared = plan.weights_by_row, None, None
    if wanted[0] or (wanted[1] and by_row):
        for_rows = parts.like.new_zeros(n_rows, groups * width)
        block.features_pull(tape.own, torch.matmul(lam.mT, tape.planes).flatten(0, 1), for_rows)
        if by_row:
            split = plan.circuit.n_inputs
            return [for_rows[:split].t(), for_rows[split:].t(), *for_matrices]
    if wanted[1]:
        for_shared = parts.like.new_zeros(plan.circuit.n_weights, tape.made.runs.shape[1])
        grads = Grads(tape.values)
        for_v = torch.matmul(lam, tape.features)
        if not block.real:
            re, im = for_v.chunk(2, 1)
            for_v = torch.complex(re, im.neg())
        block.unitary_pull(entry.steps, tape.states, tape.last, for_v, tape.values, grads)
        parts.bank.pull(tape.made, grads.stacked(tape.values), None, for_shared)
        if parts.shared_angles.size:
            parts.shared_angles.pull(grads.shared, for_shared)
    return [
        None if for_rows is None else for_rows.t(),
        None if for_shared is None else for_shared.t(),
        *for_matrices,
    ]
