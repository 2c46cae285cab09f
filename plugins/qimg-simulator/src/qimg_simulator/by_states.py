"""Forth and back in the regimes that carry states from step to step (imports torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import define

from qimg_simulator.register import register
from qimg_simulator.reversible import Trail, back, there
from qimg_simulator.steps import Grads, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from qimg_simulator.assembling import Assembly
    from qimg_simulator.bank import Made
    from qimg_simulator.entry import Entry
    from qimg_simulator.product import Tape as ProductTape


@define(eq=False)
class StatesTape:
    """What the way back needs."""

    made: Made
    values: Values
    singles: Tensor
    product: ProductTape
    registers: list[Tensor]
    start: Tensor
    states: list[Tensor] | Trail
    psi: Tensor
    read: Any
    sizes: tuple[int, int]


def forward(
    entry: Entry, rows: Tensor, shared: Tensor, groups: int, matrices: Sequence[Tensor], *, saved: bool, keep: bool
) -> tuple[Tensor, StatesTape]:
    """Values (G * B, ...), and what `backward` needs.

    Args:
        entry: what is asked.
        rows: by-row parameters (p, G * B).
        shared: those that rows share (n_weights, G).
        groups: G.
        matrices: of the reading.
        saved: states between the steps are kept for the way back; else they are computed backwards.
        keep: there will be a way back.
    """
    reader, steps, parts = entry.reading, entry.steps, entry.parts
    made = parts.bank.evaluate(shared)
    values = Values(
        made.blocks,
        parts.shared_angles.evaluate(shared),
        parts.row_angles.evaluate(rows).view(parts.row_angles.size, groups, rows.shape[1] // groups),
    )
    psi, product = parts.product.evaluate(made.runs, rows, groups)
    singles, amplitudes = psi, []
    if parts.registers:
        source = rows
        if parts.mixed:
            each = shared.repeat_interleave(rows.shape[1] // shared.shape[1], 1)
            source = torch.cat([rows, each])
        for angles, size in parts.registers:
            a = register(angles.evaluate(source), size, real=parts.plan.real)
            a = a.view(size, groups, -1).transpose(0, 1)
            amplitudes.append(a)
            alone = not parts.product.wires and len(amplitudes) == 1
            psi = a if alone else (psi[:, :, None] * a[:, None]).flatten(1, 2)
    if parts.back is not None:
        psi = parts.back.apply(psi, values)
    width = rows.shape[1] // groups
    if psi.shape[2] == 1 and width != 1 and any(s.by_row for s in steps):
        psi = psi.expand(-1, -1, width)
    if psi.shape[0] != groups:
        psi = psi.expand(groups, -1, -1)
    psi = start = psi.contiguous()
    states: list[Tensor] | Trail
    if saved:
        states = []
        for step in steps:
            if keep:
                states.append(psi)
            psi = step.apply(psi, values, keep=keep)
    else:
        states = there(steps, start, values, keep=keep)
        psi = states.last
    data, read = reader.evaluate(psi, matrices)
    tape = StatesTape(made, values, singles, product, amplitudes, start, states, psi, read, (groups, width))
    if data.shape[1] != width:
        data = data.expand(-1, width, *data.shape[2:])
    return data.reshape(groups * width, *data.shape[2:]), tape


def backward(entry: Entry, tape: StatesTape, cotangent: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of inputs, weights and matrices, each where ``wanted``."""
    reader, steps, parts, plan = entry.reading, entry.steps, entry.parts, entry.parts.plan
    groups, width = tape.sizes
    n_inputs, n_weights = plan.circuit.n_inputs, plan.circuit.n_weights
    g = cotangent.reshape(groups, width, *cotangent.shape[1:])
    if tape.psi.shape[2] != width:
        g = g.sum(1, keepdim=True)
    conjugated = not isinstance(tape.states, Trail)
    pull = reader.pull_conjugated if conjugated else reader.pull
    lam, for_matrices = pull(tape.psi, tape.read, g, any(wanted[2:]))
    if not (wanted[0] or wanted[1]):
        return [None, None, *for_matrices]
    values, grads = tape.values, Grads(tape.values)
    if isinstance(tape.states, Trail):
        lam = back(tape.states, lam, values, grads)
    else:
        after = tape.psi
        for i in range(len(steps) - 1, -1, -1):
            before = tape.states[i]
            steps[i].pull(before, after, lam, values, grads)
            lam = steps[i].transposed(lam, values)
            after = before
    if lam.shape[2] != max(tape.singles.shape[2], *(a.shape[2] for a in tape.registers), 1):
        lam = lam.sum(2, keepdim=True)
    if parts.back is not None:
        lam = parts.back.transposed(lam, values)
    by_row = plan.weights_by_row
    n_rows = n_inputs + (n_weights if by_row else 0)
    for_rows = parts.like.new_zeros(n_rows, groups * width)
    for_shared = parts.like.new_zeros(0 if by_row else n_weights, tape.made.runs.shape[1])
    lam = _registers_pull(parts, tape, lam, for_rows, for_shared)
    for_runs = torch.zeros_like(tape.made.runs)
    parts.product.pull(tape.product, lam, tape.made.runs, for_runs, for_rows)
    parts.bank.pull(tape.made, grads.stacked(values), for_runs, for_shared)
    if parts.shared_angles.size:
        parts.shared_angles.pull(grads.shared, for_shared)
    if parts.row_angles.size:
        parts.row_angles.pull(grads.rows.view(parts.row_angles.size, -1), for_rows)
    if by_row:
        return [for_rows[:n_inputs].t(), for_rows[n_inputs:].t(), *for_matrices]
    return [for_rows.t(), for_shared.t(), *for_matrices]


def _registers_pull(parts: Assembly, tape: StatesTape, lam: Tensor, for_rows: Tensor, for_shared: Tensor) -> Tensor:
    """What is left of ``lam``, the conjugate of a cotangent, for the single wires."""
    if not tape.registers:
        return lam
    prefixes = [tape.singles]
    for a in tape.registers[:-1]:
        prefixes.append((prefixes[-1][:, :, None] * a[:, None]).flatten(1, 2))
    for (angles, size), a, before in reversed(list(zip(parts.registers, tape.registers, prefixes, strict=True))):
        if before is tape.singles and not parts.product.wires:
            entries = lam.transpose(0, 1).reshape(size, -1)
        else:
            view = lam.reshape(len(lam), before.shape[1], size, -1)
            entries = (view * before[:, :, None]).sum(1).transpose(0, 1).reshape(size, -1)
            lam = (view * a[:, None]).sum(2)
            if lam.shape[2] != before.shape[2]:
                lam = lam.sum(2, keepdim=True)
        if entries.is_complex():
            entries = entries.real if angles.size == size else torch.cat([entries.real, -entries.imag])
        if not parts.mixed:
            angles.pull(entries, for_rows)
            continue
        both = for_rows.new_zeros(len(for_rows) + len(for_shared), for_rows.shape[1])
        angles.pull(entries, both)
        for_rows += both[: len(for_rows)]
        for_shared += both[len(for_rows) :].view(len(for_shared), for_shared.shape[1], -1).sum(2)
    return lam
