"""Measurements of a pure state (2**n, B), batch last; results are batch first (imports torch).

All functions are differentiable once in the state and, where there are any, in the read-out matrices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qimg_simulator.cover import cover
from qimg_simulator.pauli_basis import pauli_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.circuit.pauli import PauliString


def squares(psi: Tensor) -> Tensor:
    """|psi|**2, real, same shape."""
    return torch.view_as_real(psi).square().sum(-1)


def marginal(full: Tensor, wires: Sequence[int]) -> Tensor:
    """(B, 2**k) from a distribution (2**n, B) over all wires."""
    n = full.shape[0].bit_length() - 1
    rest = [w for w in range(n) if w not in wires]
    view = full.reshape(*(2,) * n, -1).permute(n, *wires, *rest)
    return view.reshape(full.shape[1], 2 ** len(wires), -1).sum(2)


class _Xor(torch.autograd.Function):
    """conj(psi[i ^ mask]) * psi[i]; its gradient is a gather too, since i ^ mask is an involution."""

    @staticmethod
    def forward(ctx: Any, psi: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(psi, index)
        return psi.index_select(0, index).conj() * psi

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        psi, index = ctx.saved_tensors
        # c_i = conj(psi_j) psi_i with j = i ^ mask: d c_i = conj(psi_j) dpsi_i + psi_i conj(dpsi_j)
        return psi.index_select(0, index) * (g + g.conj().index_select(0, index)), None


def signs(masks: Sequence[int], shift: int, count: int, like: Tensor) -> Tensor:
    """(len(masks), 2**count): (-1)**popcount(i & mask) over ``count`` bits of the mask from bit ``shift``."""
    i = np.arange(2**count)
    part = np.array([(m >> shift) & (2**count - 1) for m in masks])[:, None]
    odd = np.bitwise_count(part & i).astype(np.int64) & 1  # it counts in uint8, which has no -1
    return torch.tensor(1 - 2 * odd, dtype=like.dtype, device=like.device)


def signed_sums(field: Tensor, masks: Sequence[int]) -> Tensor:
    """(len(masks), B): sum_i (-1)**popcount(i & mask) field[i], in two halves of the wires."""
    n = field.shape[0].bit_length() - 1
    low = (n + 1) // 2
    inner = torch.matmul(signs(masks, 0, low, field), field.reshape(2 ** (n - low), 2**low, -1))
    return (inner * signs(masks, low, n - low, field).t()[:, :, None]).sum(0)


def expectation(psi: Tensor, terms: Sequence[PauliString]) -> Tensor:
    """(B, len(terms)), each with its coefficient.

    P|i> = i**nY (-1)**popcount(i & z) |i ^ x>, with x the wires of X and Y, z those of Y and Z.
    """
    n = psi.shape[0].bit_length() - 1
    by_x: dict[int, list[tuple[int, int, int, float]]] = {}
    for column, term in enumerate(terms):
        x = sum(1 << (n - 1 - w) for w, p in term.factors if p in "XY")
        z = sum(1 << (n - 1 - w) for w, p in term.factors if p in "YZ")
        n_y = sum(p == "Y" for _, p in term.factors)
        by_x.setdefault(x, []).append((column, z, n_y, term.coefficient))
    found: list[Tensor] = []
    order: list[int] = []
    for x, members in by_x.items():
        if x == 0:
            fields = {0: squares(psi)}
        else:
            index = torch.arange(psi.shape[0], device=psi.device) ^ x
            product: Tensor = _Xor.apply(psi, index)  # type: ignore[no-untyped-call]
            fields = {0: product.real, 1: product.imag}
        for odd, field in fields.items():
            chosen = [m for m in members if m[2] % 2 == odd]
            if not chosen:
                continue
            # Re(i**nY c): +Re, -Im, -Re, +Im for nY = 0, 1, 2, 3 mod 4
            scale = [m[3] * (1 if m[2] % 4 in (0, 3) else -1) for m in chosen]
            sums = signed_sums(field, [m[1] for m in chosen])
            found.append(sums * torch.tensor(scale, dtype=sums.dtype, device=sums.device)[:, None])
            order.extend(m[0] for m in chosen)
    everything = torch.cat(found)
    return everything.index_select(0, torch.tensor(np.argsort(order), device=psi.device)).t()


class _Reduced(torch.autograd.Function):
    """rho (B, 2**k, 2**k) of a block of wires; ``index`` puts the block's wires first."""

    @staticmethod
    def forward(ctx: Any, psi: Tensor, index: Tensor | None, k: int) -> Tensor:
        moved = psi if index is None else psi.index_select(0, index)
        x = moved.t().contiguous().view(psi.shape[1], 2**k, -1)
        ctx.save_for_backward(x, index)
        return x @ x.mH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        x, index = ctx.saved_tensors
        back = ((g + g.mH) @ x).view(x.shape[0], -1).t()
        if index is None:
            return back, None, None
        inverse = torch.empty_like(index)
        inverse[index] = torch.arange(len(index), device=index.device)
        return back.index_select(0, inverse), None, None


def window_first(wires: Sequence[int], n: int) -> npt.NDArray[np.int64]:
    """Index (2**n,) that puts ``wires`` first, in the order given, before the others."""
    rest = [w for w in range(n) if w not in wires]
    return np.arange(2**n).reshape((2,) * n).transpose([*wires, *rest]).reshape(-1)


def reduced(psi: Tensor, wires: Sequence[int]) -> Tensor:
    """The density matrix of ``wires`` in the order given, complex (B, 2**k, 2**k)."""
    n = psi.shape[0].bit_length() - 1
    index = None
    if tuple(wires) != tuple(range(len(wires))):
        index = torch.tensor(window_first(wires, n), device=psi.device)
    out: Tensor = _Reduced.apply(psi, index, len(wires))  # type: ignore[no-untyped-call]
    return out


def embedded(block: tuple[int, ...], window: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Which entry of a window's matrix M stands at each entry of M (x) 1 on the block.

    Returns:
        (4**len(block),), with 4**len(window) where the entry is zero.
    """
    k, m = len(block), len(window)
    i = np.arange(2**k)
    position = [block.index(w) for w in window]
    own = np.zeros_like(i)
    for j, p in enumerate(position):
        own |= ((i >> (k - 1 - p)) & 1) << (m - 1 - j)
    others = [p for p in range(k) if p not in position]
    rest = np.zeros_like(i)
    for j, p in enumerate(others):
        rest |= ((i >> (k - 1 - p)) & 1) << j
    entry = own[:, None] * 2**m + own[None, :]
    return np.asarray(np.where(rest[:, None] == rest[None, :], entry, 4**m).reshape(-1))


def _partial(rho: Tensor, block: tuple[int, ...], window: tuple[int, ...]) -> Tensor:
    """The reduced matrix of a window inside a block's reduced matrix, (B, 2**k, 2**k)."""
    if block == window:
        return rho
    k = len(block)
    own = [block.index(w) for w in window]
    rest = [p for p in range(k) if p not in own]
    view = rho.view(-1, *(2,) * (2 * k))
    order = [1 + p for p in own] + [1 + k + p for p in own] + [1 + p for p in rest] + [1 + k + p for p in rest]
    size = 2 ** len(rest)
    moved = view.permute(0, *order).reshape(-1, 2 ** len(own), 2 ** len(own), size, size)
    return torch.diagonal(moved, dim1=-2, dim2=-1).sum(-1)


def local_states(psi: Tensor, windows: Sequence[tuple[int, ...]]) -> Tensor:
    """Pauli vectors (B, sum 4**k) of windows, laid out as `qimg_core.measurement.LocalStates`."""
    n = psi.shape[0].bit_length() - 1
    out: list[Tensor | None] = [None] * len(windows)
    for block, numbers in cover(windows, n):
        rho = reduced(psi, block)
        for i in numbers:
            out[i] = pauli_vector(_partial(rho, block, windows[i]))
    return torch.cat([v for v in out if v is not None], 1)
