"""The steps of a circuit with large states: few buffers, written again and again (imports torch, steps).

Every step is unitary, so the state before it follows from the state after it, and nothing has to be kept. Two
things make the way back cheaper than that:

- the gradients of all matrices of a layer are read at one point, before the layer, so only states there are
  wanted. With K the product of the layer's matrices K_j, each on wires of its own,
  dL = Re <K^H lam, sum_j (K_j^H dK_j) psi>: the cotangent of K_j is K_j R_j^H, where R_j is the sum of
  psi lam'^H over the other wires and lam' = K^H lam;
- as many of these states as `KEPT` allows are kept, the first ones, and the others are computed backwards.

The cotangent travels as its complex conjugate: then no step of the way back needs the conjugate of a large array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import frozen

from qimg_simulator.steps import Dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from qimg_simulator.steps import Grads, Step, Values

KEPT = 2**25
"""Bytes of states that are kept for the way back, and as many of phases."""


class _Buffers:
    """Arrays of one shape to write to; what is not needed any more is given back."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._free: list[Tensor] = []

    def take(self) -> Tensor:
        return self._free.pop() if self._free else torch.empty_like(self._like)

    def give(self, used: Tensor) -> None:
        self._free.append(used)


@frozen(eq=False)
class Trail:
    """What `back` needs.

    Args:
        layers: from `layers`.
        kept: by number of the layer, the state before it.
        last: the state after all of them.
    """

    layers: Sequence[Sequence[Step]]
    kept: dict[int, Tensor]
    last: Tensor


def layers(steps: Sequence[Step]) -> list[list[Step]]:
    """Neighbouring dense steps on disjoint wires are one layer, every other step is one of its own."""
    out: list[list[Step]] = []
    used = 0
    for step in steps:
        mask = step.mask if isinstance(step, Dense) else 0
        if mask and out and used and not used & mask:
            out[-1].append(step)
            used |= mask
        else:
            out.append([step])
            used = mask
    return out


def there(steps: Sequence[Step], start: Tensor, values: Values, *, keep: bool) -> Trail:
    """The state after all steps.

    Args:
        steps: of the circuit.
        start: (G, 2**n, B), contiguous; it is not changed.
        values: their numbers.
        keep: a gradient will be asked for.
    """
    stages = layers(steps)
    buffers, kept, psi = _Buffers(start), {}, start
    room = KEPT // max(1, start.numel() * start.element_size()) if keep else 0
    values.room = KEPT if keep else 0
    for number, layer in enumerate(stages):
        held = psi is start
        if keep and any(step.varies for step in layer) and (held or room > 0):
            room -= not held
            kept[number] = psi
            held = True
        for step in layer:
            out = buffers.take()
            step.write(psi, out, values)
            if not held:
                buffers.give(psi)
            psi, held = out, False
    return Trail(stages, kept, psi)


def back(trail: Trail, cotangent: Tensor, values: Values, grads: Grads) -> Tensor:
    """The conjugate of the cotangent of the first state; gradients of the steps' numbers go to ``grads``.

    Args:
        trail: from `there`; it is not changed.
        cotangent: of the last state, (G, 2**n, B); it is not changed.
        values: as they were.
        grads: added to.
    """
    buffers = _Buffers(trail.last)
    lam = torch.conj_physical(cotangent) if cotangent.is_complex() else cotangent.clone()
    psi = trail.last
    varying = [n for n, layer in enumerate(trail.layers) if any(step.varies for step in layer)]
    stop = min((n for n in varying if n not in trail.kept), default=len(trail.layers))
    for number in range(len(trail.layers) - 1, -1, -1):
        layer = trail.layers[number]
        if number >= stop:
            for step in reversed(layer):
                out = buffers.take()
                step.write(psi, out, values, "adjoint")
                if psi is not trail.last:
                    buffers.give(psi)
                psi = out
        elif number == stop - 1 and psi is not trail.last:
            buffers.give(psi)
        for step in reversed(layer):
            out = buffers.take()
            step.write(lam, out, values, "transpose")
            buffers.give(lam)
            lam = out
        for step in layer:
            if step.varies:
                step.reduce(psi if number >= stop else trail.kept[number], lam, values, grads)
    return lam
