"""Windows of wires as tables of the C library, and their reading as one differentiable function (imports torch)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_core.errors import DataError
from qimg_kernels.library import WINDOWS
from qimg_simulator.readout import window_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_kernels.library import Call
    from qimg_kernels.program import KernelProgram

WIDEST = 6
MOST_ENTRIES = 2**14
"""More entries in a window's matrices than this, and torch's matrix products take less time."""


@frozen(eq=False)
class Windows:
    """What the library asks of windows.

    Args:
        shapes: wires and matrices of each window.
        index: (windows, 2**n) positions of amplitudes, those that differ in the window's wires side by side.

    Attributes:
        sizes: shape of each window's matrices.
        width: values a row.
    """

    shapes: npt.NDArray[np.int32]
    index: npt.NDArray[np.int32]
    sizes: tuple[tuple[int, int, int], ...] = field(init=False)
    width: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        sizes = tuple((height, 2**k, 2**k) for k, height in self.shapes.tolist())
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "width", sum(height for height, _, _ in sizes))

    def complexes(self, matrices: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
        """The matrices as the library reads them.

        Raises:
            DataError: one has another shape than (K, 2**k, 2**k).
        """
        for matrix, size in zip(matrices, self.sizes, strict=True):
            if matrix.shape != size:
                raise DataError(f"matrices of a window: wanted {size}, got {tuple(matrix.shape)}")
        return [m.to(dtype).resolve_conj().contiguous() for m in matrices]

    def fill(self, call: Call, matrices: Sequence[Tensor], *, reduced: bool) -> Any:
        """Write the tables and pointers of the matrices into ``call``; what is returned must live as long as it."""
        pointers = (ctypes.c_void_p * len(matrices))(*[m.data_ptr() for m in matrices])
        call.mode, call.n_windows, call.n_values, call.reduced = WINDOWS, len(matrices), self.width, reduced
        call.shapes, call.index = self.shapes.ctypes.data, self.index.ctypes.data
        call.matrices = ctypes.addressof(pointers)
        return pointers

    def split(self, flat: Tensor) -> Sequence[Tensor]:
        """The matrices that lie one after the other in ``flat``."""
        if len(set(self.sizes)) == 1:  # one operation instead of two for each
            return flat.view(-1, *self.sizes[0]).unbind(0)
        parts = torch.split(flat, [height * d * d for height, d, _ in self.sizes])
        return [part.view(size) for part, size in zip(parts, self.sizes, strict=True)]


def tables(windows: tuple[tuple[int, ...], ...], heights: tuple[int, ...], where: npt.NDArray[Any]) -> Windows | None:
    """Tables for windows with so many matrices each; None where the kernel is not the way to read them.

    Args:
        windows: wires in the order of the matrices' indices, first most significant.
        heights: matrices of each.
        where: (2**n,), position of each amplitude.

    Raises:
        ValueError: a wire that does not exist, or twice the same.
    """
    n = len(where).bit_length() - 1
    for wires in windows:
        if len(set(wires)) != len(wires) or not set(wires) <= set(range(n)):
            raise ValueError(f"window: wanted different wires from 0 to {n - 1}, got {wires}")
    if not windows or any(
        not 1 <= len(w) <= WIDEST or not 1 <= h * 4 ** len(w) <= MOST_ENTRIES
        for w, h in zip(windows, heights, strict=True)
    ):
        return None
    index = []
    for wires in windows:
        groups = where[window_first(wires, n)].reshape(2 ** len(wires), -1).T
        index.append(groups[np.argsort(groups.min(1))].reshape(-1))
    shapes = [(len(w), h) for w, h in zip(windows, heights, strict=True)]
    return Windows(np.array(shapes, dtype=np.int32), np.ascontiguousarray(index, dtype=np.int32))


class Read(torch.autograd.Function):
    """Values of windows from inputs, weights and matrices."""

    @staticmethod
    def forward(
        ctx: Any, program: KernelProgram, found: Windows, inputs: Tensor, weights: Tensor, *matrices: Tensor
    ) -> Tensor:
        """(rows, values)."""
        reduced = any(ctx.needs_input_grad[4:])
        held = found.complexes(matrices, program.complex)
        out, saved = program.read_windows(found, inputs, weights, held, keep=True, reduced=reduced)
        ctx.tensors = (inputs, weights, *matrices)
        ctx.save_for_backward(*(t for t in ctx.tensors if not t.is_inference()))
        ctx.program, ctx.found, ctx.kept, ctx.held = program, found, saved, held
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients, where they are wanted."""
        # torch refuses a second derivative only where the cotangent has one: a linear loss would lose its silently
        if torch.is_grad_enabled() and not cotangent.requires_grad:
            cotangent = cotangent.detach().requires_grad_()
        found: tuple[Tensor | None, ...] = Read.once(ctx, cotangent)
        return found

    @staticmethod
    @once_differentiable
    def once(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """`backward`, without a derivative of its own."""
        _ = ctx.saved_tensors  # fails where one was changed in place, or the graph was freed
        inputs, weights, *matrices = ctx.tensors
        wanted = ctx.needs_input_grad[2:]
        pair, found = ctx.program.pull_windows(ctx.found, (inputs, weights, ctx.kept), ctx.held, cotangent, wanted)
        if not found:
            return (None, None, *pair, *[None] * len(matrices))
        own = [_like(g, m) if w else None for g, m, w in zip(found, matrices, wanted[2:], strict=True)]
        return (None, None, *pair, *own)


def _like(gradient: Tensor, matrix: Tensor) -> Tensor:
    """The gradient of a complex copy of ``matrix``, in its dtype."""
    if gradient.dtype is matrix.dtype:
        return gradient
    return (gradient if matrix.is_complex() else gradient.real).to(matrix.dtype)
