"""`KernelProgram`: what qimg-simulator calls in place of its torch engine (imports torch, qimg_simulator.plan)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_core.errors import DataError
from qimg_kernels.library import SIGNED, SQUARES, STATE, WINDOWS, Call, Handle, level, levels, library
from qimg_kernels.lowering import Lowered
from qimg_kernels.schedule import COVERED, schedule
from qimg_kernels.tables import Flat
from qimg_kernels.windows import Read, Windows, tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import NotImplementedType

    from qimg_simulator.plan import Plan

MAX_WIRES = 12
"""A block of rows should stay in the second cache."""
PRECISIONS = (torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)


class KernelProgram:
    """A plan as tables of the C library; no state between calls, so threads may share it.

    Args:
        plan: a compiled circuit.
        like: a tensor of the real dtype, float32 or float64, on the CPU.
        level: of instructions, see `qimg_kernels.level`; None for the one that it names.

    Raises:
        ValueError: the plan or the dtype is not supported.
    """

    @classmethod
    def supports(cls, plan: Plan, like: Tensor) -> bool:
        """Whether the kernel can run this plan on tensors such as ``like``."""
        return (
            like.device.type == "cpu"
            and like.dtype in PRECISIONS
            and plan.circuit.n_wires <= MAX_WIRES
            and all(g.name in COVERED for g in plan.circuit.gates)
        )

    def __init__(self, plan: Plan, like: Tensor, *, level: int | None = None) -> None:
        if not self.supports(plan, like):
            raise ValueError(
                f"wanted at most {MAX_WIRES} wires, unitary gates and prepare, float32 or float64 on the CPU; "
                f"got {plan.circuit.n_wires} wires, {like.dtype} on {like.device}"
            )
        lowered = Lowered(plan, schedule(plan))
        flat = Flat(lowered)
        self.plan, self.dtype = plan, like.dtype
        self.level = _level(level)
        self.twice = int(like.dtype == torch.float64)
        self.complex = COMPLEX[self.twice]
        self.handle = Handle(flat.ints, flat.reals)
        self.library = library()
        self.dim, self.n_inputs, self.n_weights = 2**plan.circuit.n_wires, plan.circuit.n_inputs, plan.circuit.n_weights
        self._where = lowered.where
        self._masks: dict[tuple[int, ...], Any] = {}
        self._windows: dict[Any, Windows | None] = {}

    def state(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Amplitudes, complex (2**n, rows), wire 0 most significant; differentiable once.

        Args:
            inputs: (rows, n_inputs), of the dtype of ``like``.
            weights: (n_weights,), or (rows, n_weights) for a plan with ``weights_by_row``.

        Raises:
            DataError: amplitudes of a ``prepare`` gate whose norm is not 1.
        """
        return self._run(STATE, (), inputs, weights)

    def squares(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """|amplitude|**2, real (2**n, rows); differentiable once. Arguments and errors as `state`."""
        return self._run(SQUARES, (), inputs, weights)

    def signed(self, inputs: Tensor, weights: Tensor, masks: tuple[int, ...]) -> Tensor:
        """(rows, len(masks)): sum_i (-1)**popcount(i & mask) |amplitude i|**2; differentiable once.

        Arguments and errors as `state`; bit n - 1 - w of a mask stands for wire w.
        """
        return self._run(SIGNED, masks, inputs, weights)

    def windows(
        self, inputs: Tensor, weights: Tensor, windows: tuple[tuple[int, ...], ...], matrices: Sequence[Tensor]
    ) -> Tensor | NotImplementedType:
        """(rows, sum K): <psi|H|psi> of matrices on windows of wires; differentiable once, in matrices too.

        Args:
            inputs: as `state`.
            weights: as `state`.
            windows: wires of each, the first most significant; up to 6.
            matrices: (K, 2**k, 2**k) for each window of k wires, complex or real. Of one that is not Hermitian,
                the Hermitian part counts, as in Re <psi|H|psi>.

        Returns:
            Values window by window, or `NotImplemented` for windows too wide or with too many matrices for the
            kernel: read those from `state`.

        Raises:
            DataError: as `state`, and for matrices of another shape.
            ValueError: a window with a wire that does not exist, or twice the same.
        """
        heights = tuple(len(m) for m in matrices)
        key = windows, heights
        if key not in self._windows:
            self._windows[key] = tables(windows, heights, self._where)
        found = self._windows[key]
        if found is None:
            return NotImplemented  # type: ignore[no-any-return]
        if torch.is_grad_enabled() and any(t.requires_grad for t in (inputs, weights, *matrices)):
            out: Tensor = Read.apply(self, found, inputs, weights, *matrices)  # type: ignore[no-untyped-call]
            return out
        held = found.complexes(matrices, self.complex)
        return self.read_windows(found, inputs, weights, held, keep=False, reduced=False)[0]

    def _run(self, mode: int, masks: tuple[int, ...], inputs: Tensor, weights: Tensor) -> Tensor:
        if torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad):
            out: Tensor = _Run.apply(self, mode, masks, inputs, weights)  # type: ignore[no-untyped-call]
            return out
        return self.forward(mode, masks, inputs, weights, keep=False)[0]

    def _call(self, mode: int, masks: tuple[int, ...], inputs: Tensor, weights: Tensor) -> Call:
        by_row = weights.ndim == 2
        if inputs.dtype is not self.dtype or weights.dtype is not self.dtype:
            raise DataError(f"the kernel was made for {self.dtype}, got {inputs.dtype} and {weights.dtype}")
        if (
            by_row != self.plan.weights_by_row
            or inputs.shape[1] != self.n_inputs
            or weights.shape[-1] != self.n_weights
            or (by_row and len(weights) != len(inputs))
        ):
            wanted = f"(rows, {self.n_inputs}) and {'(rows, ' if self.plan.weights_by_row else '('}{self.n_weights})"
            raise DataError(
                f"inputs and weights: wanted {wanted}, got {tuple(inputs.shape)} and {tuple(weights.shape)}"
            )
        call = Call()
        call.plan, call.batch, call.mode = self.handle.pointer, inputs.shape[0], mode
        call.inputs, (call.inputs_row, call.inputs_column) = inputs.data_ptr(), inputs.stride()
        call.weights, call.weights_column = weights.data_ptr(), weights.stride(-1)
        call.weights_row = weights.stride(0) if by_row else 0
        if mode == SIGNED:
            table = self._masks.get(masks)
            if table is None:
                if masks and not 0 <= min(masks) <= max(masks) < self.dim:
                    raise ValueError(f"masks: wanted numbers from 0 to {self.dim - 1}, got {masks}")
                table = self._masks[masks] = (ctypes.c_int64 * len(masks))(*masks)
            call.n_masks, call.masks = len(masks), ctypes.addressof(table)
        return call

    def forward(
        self, mode: int, masks: tuple[int, ...], inputs: Tensor, weights: Tensor, *, keep: bool
    ) -> tuple[Tensor, Tensor | None]:
        """What `state`, `squares` and `signed` return, and the memory that `backward` needs."""
        call, rows = self._call(mode, masks, inputs, weights), inputs.shape[0]
        shape = (rows, len(masks)) if mode == SIGNED else (self.dim, rows)
        out = torch.empty(shape, dtype=self.dtype if mode != STATE else self.complex)
        return out, self._forward(call, out, keep=keep)

    def _forward(self, call: Call, out: Tensor, *, keep: bool) -> Tensor | None:
        """Fill ``out``; the memory that is kept for the way back, where it is."""
        rows, saved = call.batch, None
        if keep:
            size = self.library.qimg_saved(call.plan, self.level, self.twice, rows)
            if call.reduced:
                size += self.library.qimg_reduced(ctypes.byref(call), self.level, self.twice)
            saved = torch.empty(size, dtype=torch.uint8)
            call.saved = saved.data_ptr()
        call.out = out.data_ptr()
        if self.library.qimg_forward(ctypes.byref(call), self.level, self.twice):
            raise MemoryError(f"the kernel has no memory for {rows} rows")
        tolerance = 1e-6 if self.twice else 1e-3
        if not call.off <= tolerance:
            raise DataError(
                f"prepare: amplitudes must have norm 1, a row's squared norm is off by {call.off:.3g}",
                hint="normalise the amplitudes, or use an encoder, which does",
            )
        return saved

    def read_windows(
        self,
        found: Windows,
        inputs: Tensor,
        weights: Tensor,
        matrices: Sequence[Tensor],
        *,
        keep: bool,
        reduced: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """What `windows` returns, and the memory that `pull_windows` needs (``reduced``: for the matrices too).

        The matrices are those of `Windows.complexes`.
        """
        call = self._call(WINDOWS, (), inputs, weights)
        pointers = found.fill(call, matrices, reduced=reduced)
        out = torch.empty((call.batch, found.width), dtype=self.dtype)
        saved = self._forward(call, out, keep=keep)
        del pointers
        return out, saved

    def pull_windows(
        self,
        found: Windows,
        tensors: tuple[Tensor, Tensor, Tensor],
        matrices: Sequence[Tensor],
        cotangent: Tensor,
        wanted: Sequence[bool],
    ) -> tuple[tuple[Tensor | None, Tensor | None], Sequence[Tensor]]:
        """Gradients of inputs and weights, each where ``wanted``, and of all matrices where one is; see `backward`."""
        call = self._call(WINDOWS, (), tensors[0], tensors[1])
        pointers = found.fill(call, matrices, reduced=any(wanted[2:]))
        for_matrices = None
        if any(wanted[2:]):
            for_matrices = torch.empty(sum(m.numel() for m in matrices), dtype=self.complex)
            call.for_matrices = for_matrices.data_ptr()
        pair = self._backward(call, tensors, cotangent, (wanted[0], wanted[1]))
        del pointers
        return pair, () if for_matrices is None else found.split(for_matrices)

    def backward(
        self,
        mode: int,
        masks: tuple[int, ...],
        tensors: tuple[Tensor, Tensor, Tensor],
        cotangent: Tensor,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of inputs and weights, each where ``wanted``; ``tensors`` are inputs, weights, saved."""
        call = self._call(mode, masks, tensors[0], tensors[1])
        return self._backward(call, tensors, cotangent.resolve_conj() if mode == STATE else cotangent, wanted)

    def _backward(
        self, call: Call, tensors: tuple[Tensor, Tensor, Tensor], cotangent: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        inputs, weights, saved = tensors
        call.saved, call.cotangent = saved.data_ptr(), cotangent.data_ptr()
        call.cotangent_row, call.cotangent_column = cotangent.stride()
        for_inputs = torch.empty(inputs.shape, dtype=self.dtype) if wanted[0] else None
        for_weights = torch.empty(weights.shape, dtype=self.dtype) if wanted[1] else None
        call.for_inputs = None if for_inputs is None else for_inputs.data_ptr()
        call.for_weights = None if for_weights is None else for_weights.data_ptr()
        if self.library.qimg_backward(ctypes.byref(call), self.level, self.twice):
            raise MemoryError(f"the kernel has no memory for {len(inputs)} rows")
        return for_inputs, for_weights


def _level(asked: int | None) -> int:
    if asked is not None and asked not in levels():
        raise ValueError(f"level: wanted one of {', '.join(map(str, levels()))} on this processor, got {asked}")
    return level() if asked is None else asked


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, program: KernelProgram, mode: int, masks: tuple[int, ...], inputs: Tensor, weights: Tensor
    ) -> Tensor:
        out, saved = program.forward(mode, masks, inputs, weights, keep=True)
        ctx.save_for_backward(*(t for t in (inputs, weights) if not t.is_inference()))
        ctx.program, ctx.mode, ctx.masks, ctx.tensors = program, mode, masks, (inputs, weights, saved)
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
        _ = ctx.saved_tensors  # fails where one was changed in place, or the graph was freed
        found = ctx.program.backward(ctx.mode, ctx.masks, ctx.tensors, cotangent, ctx.needs_input_grad[3:])
        return (None, None, None, *found)
