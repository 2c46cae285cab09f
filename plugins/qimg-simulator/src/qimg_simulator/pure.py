"""A circuit without noise as one differentiable function of inputs, weights and matrices (imports torch).

Everything between the parameters and what is read is one `torch.autograd.Function` whose way back is
written by hand: for the circuits of image generators the number of torch operations, not their work,
decides the time. Up to `SAVED_WIRES` wires the states between the steps are kept for the way back;
above, they are computed backwards from the last one, which works because every step is unitary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import define, frozen
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_simulator.assembling import Assembly
from qimg_simulator.block import LEAST, SHARE, features
from qimg_simulator.register import register
from qimg_simulator.reversible import Trail, back, there
from qimg_simulator.steps import Grads, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qimg_simulator.bank import Made
    from qimg_simulator.block import Block
    from qimg_simulator.plan import Plan
    from qimg_simulator.product import Tape as ProductTape
    from qimg_simulator.reading import Reading
    from qimg_simulator.steps import Step

SAVED_WIRES = 10
FEW = 12
"""More weight vectors than this, and the matrices are more work than the states: blocks get smaller, and states are not
made by one matrix unless there are `block.SHARE` rows for each of its columns."""


@frozen(eq=False)
class Entry:
    """A reading, the steps that it leaves, and the parts of the regime it is made for."""

    reading: Reading
    steps: tuple[Step, ...]
    parts: Assembly


@define(eq=False)
class BlockTape:
    """What the way back needs in the regime of `block.Block`."""

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


@define(eq=False)
class Tape:
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
    sizes: tuple[int, int, int]


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

    def forward(self, entry: Entry, tensors: Sequence[Tensor], *, keep: bool) -> tuple[Tensor, Tape | BlockTape]:
        """Values, and what `backward` needs."""
        inputs, weights, *matrices = tensors
        reader, steps, parts = entry.reading, entry.steps, entry.parts
        rows, shared, groups = self._sources(inputs, weights)
        if parts.block is not None:
            return self._forward_block(entry, parts.block, rows, shared, groups, matrices)
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
                a = register(angles.evaluate(source), size, real=self.plan.real)
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
        if self.saved:
            states = []
            for step in steps:
                if keep:
                    states.append(psi)
                psi = step.apply(psi, values, keep=keep)
        else:
            states = there(steps, start, values, keep=keep)
            psi = states.last
        data, read = reader.evaluate(psi, matrices)
        tape = Tape(
            made, values, singles, product, amplitudes, start, states, psi, read, (groups, width, inputs.shape[1])
        )
        if data.shape[1] != width:
            data = data.expand(-1, width, *data.shape[2:])
        return data.reshape(groups * width, *data.shape[2:]), tape

    def backward(
        self, entry: Entry, tape: Tape | BlockTape, cotangent: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Gradients of inputs, weights and matrices, each where ``wanted``."""
        if isinstance(tape, BlockTape):
            return self._backward_block(entry, tape, cotangent, wanted)
        reader, steps, parts = entry.reading, entry.steps, entry.parts
        groups, width, n_inputs = tape.sizes
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
        if lam.shape[2] != self._start_width(tape):
            lam = lam.sum(2, keepdim=True)
        if parts.back is not None:
            lam = parts.back.transposed(lam, values)
        by_row = self.plan.weights_by_row
        n_rows = n_inputs + (self.plan.circuit.n_weights if by_row else 0)
        for_rows = self.like.new_zeros(n_rows, groups * width)
        for_shared = self.like.new_zeros(0 if by_row else self.plan.circuit.n_weights, tape.made.runs.shape[1])
        lam = self._registers_pull(parts, tape, lam, for_rows, for_shared)
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

    def _sources(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, int]:
        """By-row parameters (p, G * B), shared ones (n_weights, G), and G."""
        if self.plan.weights_by_row:
            return torch.cat([inputs, weights], 1).t().contiguous(), weights.new_empty(0, 1), 1
        table = weights if weights.ndim == 2 else weights[None]
        return inputs.t().contiguous(), table.t().contiguous(), table.shape[0]

    def _forward_block(
        self, entry: Entry, block: Block, rows: Tensor, shared: Tensor, groups: int, matrices: Sequence[Tensor]
    ) -> tuple[Tensor, BlockTape]:
        parts, width = entry.parts, rows.shape[1] // groups
        made = parts.bank.evaluate(shared)
        values = Values(made.blocks, parts.shared_angles.evaluate(shared), rows.new_empty(0, groups, width))
        unitary, states = block.unitary(entry.steps, values)
        planes = unitary if block.real else torch.cat([unitary.real, unitary.imag], 1)
        features, own = block.features(rows)
        features = features.view(groups, width, -1)
        psi = torch.matmul(planes, features.mT)
        data, read = entry.reading.planar(psi, matrices, real=block.real)
        tape = BlockTape(
            made, values, states, unitary, planes, features, own, psi, read, (groups, width, rows.shape[0])
        )
        return data.reshape(groups * width, *data.shape[2:]), tape

    def _backward_block(
        self, entry: Entry, tape: BlockTape, cotangent: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        parts, block = entry.parts, entry.parts.block
        assert block is not None
        groups, width, n_rows = tape.sizes
        g = cotangent.reshape(groups, width, *cotangent.shape[1:])
        lam, for_matrices = entry.reading.planar_pull(tape.psi, tape.read, g, any(wanted[2:]), real=block.real)
        by_row, for_rows, for_shared = self.plan.weights_by_row, None, None
        if wanted[0] or (wanted[1] and by_row):
            for_rows = self.like.new_zeros(n_rows, groups * width)
            block.features_pull(tape.own, torch.matmul(lam.mT, tape.planes).flatten(0, 1), for_rows)
            if by_row:
                split = self.plan.circuit.n_inputs
                return [for_rows[:split].t(), for_rows[split:].t(), *for_matrices]
        if wanted[1]:
            for_shared = self.like.new_zeros(self.plan.circuit.n_weights, tape.made.runs.shape[1])
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

    def _start_width(self, tape: Tape) -> int:
        widths = [tape.singles.shape[2], *(a.shape[2] for a in tape.registers)]
        return max(widths)

    def _registers_pull(self, parts: Assembly, tape: Tape, lam: Tensor, for_rows: Tensor, for_shared: Tensor) -> Tensor:
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
