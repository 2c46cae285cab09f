"""A circuit without noise as one differentiable function of inputs, weights and matrices (imports torch).

Everything between the parameters and what is read is one `torch.autograd.Function` whose way back is
written by hand: for the circuits of image generators the number of torch operations, not their work,
decides the time. Up to `SAVED_WIRES` wires the states between the steps are kept for the way back;
above, they are computed backwards from the last one, which works because every step is unitary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_simulator import by_block, by_states
from qimg_simulator.assembling import Assembly
from qimg_simulator.block import LEAST, SHARE, features
from qimg_simulator.by_block import BlockTape
from qimg_simulator.entry import Entry, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qimg_simulator.by_states import StatesTape
    from qimg_simulator.plan import Plan
    from qimg_simulator.reading import Reading

SAVED_WIRES = 10
FEW = 12
"""More weight vectors than this, and the matrices are more work than the states: blocks get smaller, and states are not
made by one matrix unless there are `block.SHARE` rows for each of its columns."""


class PureProgram:
    """A plan made ready for one device and precision; no state between calls but caches.

    Args:
        plan: a compiled circuit.
        like: any tensor of the real dtype (float32 or float64) on the device.
    """

    def __init__(self, plan: Plan, like: Tensor) -> None:
        self.plan = plan
        self.like = torch.empty(0, dtype=like.dtype, device=like.device)
        self._assemblies: dict[str, Assembly | None] = {}
        self.saved = plan.circuit.n_wires <= SAVED_WIRES
        self._readings: dict[tuple[object, str], Entry] = {}

    def regime(self, rows: int, groups: int) -> str:
        """``block`` (see `block.Block`), ``grouped`` (small blocks, a set for each weight vector) or ``states``."""
        share = SHARE if groups > FEW else LEAST
        if rows > share * groups * 2**self.plan.circuit.n_wires and self._assembly("block") is not None:
            return "block"
        return "grouped" if groups > FEW else "states"

    def _assembly(self, regime: str) -> Assembly | None:
        if regime not in self._assemblies:
            if regime == "block":
                owns = features(self.plan)
                found = None if owns is None else Assembly(self.plan, self.like, owns)
                if found is not None and any(s.by_row for s in found.steps):
                    found = None
            else:
                found = Assembly(self.plan, self.like, largest=3 if regime == "grouped" else None)
            self._assemblies[regime] = found
        return self._assemblies[regime]

    def entry(self, key: object, make: Callable[[], Reading], rows: int, groups: int) -> Entry:
        """A reading with the steps that it leaves, made once.

        Args:
            key: names the reading; equal keys share one.
            make: makes it.
            rows: of the batch.
            groups: weight vectors.
        """
        regime = self.regime(rows, groups)
        found = self._readings.get((key, regime))
        if found is None:
            parts = self._assembly(regime)
            assert parts is not None
            reading = make()
            found = self._readings[key, regime] = Entry(reading, tuple(reading.shorten(parts.steps)), parts)
        return found

    def run(
        self, key: object, make: Callable[[], Reading], inputs: Tensor, weights: Tensor, matrices: Sequence[Tensor] = ()
    ) -> Tensor:
        """(rows, width) of a reading; (rows, ...) for what torch differentiates itself.

        Args:
            key: names the reading; equal keys share one.
            make: makes it.
            inputs: (rows, n_inputs).
            weights: (n_weights,); or (groups, n_weights), where ``groups`` divides the rows and each weight vector
                serves as many consecutive rows; or (rows, n_weights) for a plan with ``weights_by_row``.
            matrices: of the reading.

        Raises:
            DataError: amplitudes of a ``prepare`` gate whose norm is not 1.
        """
        device = self.like.device.type
        if torch.is_autocast_enabled(device):  # its half precision would come out as the values' dtype
            with torch.autocast(device, enabled=False):
                return self.run(key, make, inputs, weights, matrices)
        groups = weights.shape[0] if weights.ndim == 2 and not self.plan.weights_by_row else 1
        found = self.entry(key, make, inputs.shape[0], groups)
        tensors = (inputs, weights, *matrices)
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            out: Tensor = _Run.apply(self, found, *tensors)  # type: ignore[no-untyped-call]
            return out
        with torch.no_grad():
            return self.forward(found, tensors, keep=False)[0]

    def forward(self, entry: Entry, tensors: Sequence[Tensor], *, keep: bool) -> tuple[Tensor, StatesTape | BlockTape]:
        """Values, and what `backward` needs."""
        inputs, weights, *matrices = tensors
        rows, shared, groups = sources(self.plan, inputs, weights)
        if entry.parts.block is not None:
            return by_block.forward(entry, rows, shared, groups, matrices)
        return by_states.forward(entry, rows, shared, groups, matrices, saved=self.saved, keep=keep)

    def backward(
        self, entry: Entry, tape: StatesTape | BlockTape, cotangent: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of inputs, weights and matrices, each where ``wanted``."""
        if isinstance(tape, BlockTape):
            return by_block.backward(entry, tape, cotangent, wanted)
        return by_states.backward(entry, tape, cotangent, wanted)


_keeps_graph: Callable[[], bool] = getattr(
    torch._C._autograd,  # noqa: SLF001
    "_get_current_graph_task_keep_graph",
    lambda: True,
)
"""Whether the way back under way may be asked for again (``retain_graph``).

Where torch does not say, yes: what it needs then lives as long as the result.
"""


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: PureProgram, entry: Entry, *tensors: Tensor) -> Tensor:
        out, ctx.tape = program.forward(entry, tensors, keep=True)
        ctx.save_for_backward(*(t for t in tensors if not t.is_inference()))
        ctx.program, ctx.entry, ctx.flat = program, entry, tensors[1].ndim == 1
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        # torch refuses a second derivative only where the cotangent has one: a linear loss would lose its silently
        if torch.is_grad_enabled() and not cotangent.requires_grad:
            cotangent = cotangent.detach().requires_grad_()
        found: tuple[Tensor | None, ...] = _Run.once(ctx, cotangent)
        return found

    @staticmethod
    @once_differentiable
    def once(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """`backward`, without a derivative of its own."""
        # the tape holds views of the arguments: this fails where one was changed in place, or the graph was freed
        _ = ctx.saved_tensors
        program, wanted = ctx.program, ctx.needs_input_grad[2:]
        if torch.is_autocast_enabled(program.like.device.type):
            with torch.autocast(program.like.device.type, enabled=False):
                found = program.backward(ctx.entry, ctx.tape, cotangent, wanted)
        else:
            found = program.backward(ctx.entry, ctx.tape, cotangent, wanted)
        if not _keeps_graph():
            ctx.tape = None
        if ctx.flat and found[1] is not None:
            found[1] = found[1].reshape(-1)
        return (None, None, *(g if w else None for g, w in zip(found, wanted, strict=True)))
