"""`Entry`: what a question asks of a circuit, made once (imports the parts of the engine)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor

    from qimg_simulator.assembling import Assembly
    from qimg_simulator.plan import Plan
    from qimg_simulator.reading import Reading
    from qimg_simulator.steps import Step


@frozen(eq=False)
class Entry:
    """A reading, the steps that it leaves, and the parts of the regime it is made for."""

    reading: Reading
    steps: tuple[Step, ...]
    parts: Assembly


def sources(plan: Plan, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, int]:
    """By-row parameters (p, G * B), shared ones (n_weights, G), and G."""
    if plan.weights_by_row:
        return torch.cat([inputs, weights], 1).t().contiguous(), weights.new_empty(0, 1), 1
    table = weights if weights.ndim == 2 else weights[None]
    return inputs.t().contiguous(), table.t().contiguous(), table.shape[0]
