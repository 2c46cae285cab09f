"""What is read from a pure state, with the way back by hand (imports torch, readout).

A reading says which of the last steps it makes needless: a measurement in the computational basis does
not see diagonals, and a permutation of basis states only reorders what is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qimg_simulator import readout
from qimg_simulator.steps import Gather, Phase, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from qimg_core.circuit.pauli import PauliString

TABLE_WIRES = 12
"""Up to so many wires the signs of all basis states are one table."""


class Reading(ABC):
    """A real function of the state (G, 2**n, B) with values (G, B, width)."""

    def shorten(self, steps: Sequence[Step]) -> Sequence[Step]:
        """The steps that matter; the reading takes the effect of the others on itself."""
        return steps

    def planar(self, psi: Tensor, matrices: Sequence[Tensor], *, real: bool) -> tuple[Tensor, Any]:
        """`evaluate` for a state (G, 2 * 2**n, B) of real parts and then imaginary parts (``real``: without them)."""
        whole = psi if real else torch.complex(*psi.chunk(2, 1))
        values, tape = self.evaluate(whole, matrices)
        return values, (whole, tape)

    def planar_pull(
        self, psi: Tensor, tape: Any, g: Tensor, wanted: bool, *, real: bool
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """`pull` for `planar`."""
        lam, for_matrices = self.pull(tape[0], tape[1], g, wanted)
        return lam if real else torch.cat([lam.real, lam.imag], 1), for_matrices

    @abstractmethod
    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        """Values (G, B, width), and what `pull` needs."""

    @abstractmethod
    def pull(self, psi: Tensor, tape: Any, g: Tensor, wanted: bool) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Cotangents of the state and, if ``wanted``, of the matrices."""

    def pull_conjugated(
        self, psi: Tensor, tape: Any, g: Tensor, wanted: bool
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """`pull`, with the conjugate of the state's cotangent: so it travels back, see `Step.transposed`."""
        lam, for_matrices = self.pull(psi, tape, g, wanted)
        return lam.conj().resolve_conj(), for_matrices


class Diagonal(Reading):
    """Readings of |psi|**2 alone."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.order: Tensor | None = None

    def shorten(self, steps: Sequence[Step]) -> Sequence[Step]:
        """See `Reading.shorten`."""
        kept = list(steps)
        while kept and isinstance(kept[-1], Phase | Gather):
            last = kept.pop()
            if isinstance(last, Gather):
                # new[i] = old[index[i]]: entry i of what is read lies at order[i] of the state
                self.order = last.index if self.order is None else last.index[self.order]
        return kept


def squares(psi: Tensor) -> Tensor:
    """(G, D, B) -> (G, D, B * parts): squares of the parts of each amplitude, parts side by side."""
    if not psi.is_complex():
        return psi.square()
    return torch.view_as_real(psi).flatten(2).square()


def weighed(psi: Tensor, weight: Tensor) -> Tensor:
    """2 weight psi, the cotangent of psi where ``weight`` (G, D, B) is that of |psi|**2; weight is overwritten."""
    return psi * weight.mul_(2)


class Signed(Diagonal):
    """Sums of |psi|**2 with signs: expectation values of Pauli strings of Z.

    Args:
        n: wires.
        masks: per string, the bits with a Z (wire 0 most significant).
        coefficients: one each.
        like: a tensor of the real dtype on the device.
    """

    def __init__(self, n: int, masks: Sequence[int], coefficients: Sequence[float], like: Tensor) -> None:
        super().__init__(n)
        self.masks, self.like, self.plain = list(masks), like, all(c == 1.0 for c in coefficients)
        self.scale = torch.tensor(list(coefficients), dtype=like.dtype, device=like.device)
        self.table: Tensor | None = None
        self.both: Tensor | None = None
        self.slopes: Tensor | None = None
        self._seen = self.masks

    def shorten(self, steps: Sequence[Step]) -> Sequence[Step]:
        kept = super().shorten(steps)
        if self.n <= TABLE_WIRES:
            i = np.arange(2**self.n)
            odd = np.bitwise_count(np.array(self.masks)[:, None] & i[None]).astype(np.int64) & 1
            table = torch.tensor(1 - 2 * odd, dtype=self.like.dtype, device=self.like.device) * self.scale[:, None]
            if self.order is not None:
                placed = torch.empty_like(table)
                placed[:, self.order] = table
                table = placed
            self.table = table
        elif self.order is not None:
            moved = carried(self.masks, self.order.numpy(force=True))
            if moved is not None:
                self._seen, self.order = moved, None
        return kept

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        groups, width = psi.shape[0], psi.shape[2]
        if self.table is not None:
            sums = torch.matmul(self.table, squares(psi)).view(groups, len(self.masks), width, -1)
            return (sums.sum(3) if sums.shape[3] > 1 else sums[..., 0]).transpose(1, 2), None
        return (folded(self._ordered(psi), self._seen) * self.scale[:, None]).transpose(1, 2), None

    def planar(self, psi: Tensor, matrices: Sequence[Tensor], *, real: bool) -> tuple[Tensor, Any]:
        if self.table is None:
            return super().planar(psi, matrices, real=real)
        return torch.matmul(self._planar_table(real), psi.square()).transpose(1, 2), None

    def planar_pull(
        self, psi: Tensor, tape: Any, g: Tensor, wanted: bool, *, real: bool
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        if self.table is None:
            return super().planar_pull(psi, tape, g, wanted, real=real)
        weight = torch.matmul(self._twice(), g.transpose(1, 2))
        return (
            psi * weight if real else (psi.view(psi.shape[0], 2, *weight.shape[1:]) * weight[:, None]).flatten(1, 2)
        ), ()

    def _twice(self) -> Tensor:
        """2 * table, transposed: |psi|**2 has the slope 2 psi."""
        if self.slopes is None:
            assert self.table is not None
            self.slopes = (2 * self.table).t()
        return self.slopes

    def _planar_table(self, real: bool) -> Tensor:
        assert self.table is not None
        if real:
            return self.table
        if self.both is None:
            self.both = torch.cat([self.table, self.table], 1)
        return self.both

    def _ordered(self, psi: Tensor) -> Tensor:
        p = psi.real.square()
        if psi.is_complex():
            p.addcmul_(psi.imag, psi.imag)  # a sum over an axis of 2 takes five times as long
        return p if self.order is None else p.index_select(1, self.order)

    def pull(self, psi: Tensor, tape: Any, g: Tensor, wanted: bool) -> tuple[Tensor, Sequence[Tensor | None]]:
        if self.table is not None:
            return psi * torch.matmul(self._twice(), g.transpose(1, 2)), ()
        weight = unfolded((g * self.scale).transpose(1, 2), self._seen, self.n)
        if self.order is not None:
            weight = torch.empty_like(weight).index_copy_(1, self.order, weight)
        return weighed(psi, weight), ()

    def pull_conjugated(
        self, psi: Tensor, tape: Any, g: Tensor, wanted: bool
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        if self.table is None or not psi.is_complex():
            return super().pull_conjugated(psi, tape, g, wanted)
        turned = g.transpose(1, 2)
        weight = torch.matmul(self._twice(), torch.stack([turned, -turned], 3).flatten(2))  # for re and im side by side
        return torch.view_as_complex(torch.view_as_real(psi) * weight.view(*weight.shape[:2], -1, 2)), ()


def _halves(masks: Sequence[int], n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    low = (n + 1) // 2
    return readout.signs(masks, 0, low, like), readout.signs(masks, low, n - low, like)


def folded(p: Tensor, masks: Sequence[int]) -> Tensor:
    """(G, T, B): sum_i (-1)**popcount(i & mask) p[i], in two halves of the wires."""
    n = p.shape[1].bit_length() - 1
    low, high = _halves(masks, n, p)
    if p.shape[2] == 1:
        inner = p.view(len(p), high.shape[1], low.shape[1]) @ low.t()  # (G, 2**h, T)
        return (inner * high.t()).sum(1)[..., None]
    inner = torch.matmul(low, p.view(len(p), high.shape[1], low.shape[1], -1))  # (G, 2**h, T, B)
    return (inner * high.t()[:, :, None]).sum(1)


def unfolded(g: Tensor, masks: Sequence[int], n: int) -> Tensor:
    """The transpose of `folded`: (G, T, B) -> (G, 2**n, B)."""
    low, high = _halves(masks, n, g)
    if g.shape[2] == 1:
        return ((g.mT * high.t()) @ low).view(len(g), -1, 1)
    inner = g[:, None] * high.t()[:, :, None]  # (G, 2**h, T, B)
    return torch.matmul(low.t(), inner).flatten(1, 2)


def carried(masks: Sequence[int], order: npt.NDArray[np.int64]) -> list[int] | None:
    """Masks m' with parity(m' & order[i]) = parity(m & i) for all i.

    There are some where the order is linear in the bits of i, as that of any CX and SWAP is; else None.
    """
    bits = [1 << k for k in range(len(order).bit_length() - 1)]
    linear = np.zeros(1, dtype=order.dtype)
    for bit in bits:
        linear = np.concatenate([linear, linear ^ order[bit]])
    if not np.array_equal(linear, order):
        return None
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return [sum(bit for bit in bits if (mask & int(inverse[bit])).bit_count() & 1) for mask in masks]


class Distribution(Diagonal):
    """Probabilities of ``wires``, in the order given."""

    def __init__(self, n: int, wires: Sequence[int]) -> None:
        super().__init__(n)
        self.wires, self.rest = list(wires), [w for w in range(n) if w not in wires]
        self.plain = self.wires == list(range(n))

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        if psi.is_complex():  # torch sums slowly over an axis of 2
            p = torch.addcmul(psi.real.square(), psi.imag, psi.imag)
        else:
            p = psi.square()
        if self.order is not None:
            p = p.index_select(1, self.order)
        if self.plain:
            return p.transpose(1, 2), None
        axes = [0, self.n + 1, *(1 + w for w in self.wires), *(1 + w for w in self.rest)]
        view = p.view(len(p), *(2,) * self.n, -1).permute(axes)
        return view.reshape(len(p), psi.shape[2], 2 ** len(self.wires), -1).sum(3), None

    def pull(self, psi: Tensor, tape: Any, g: Tensor, wanted: bool) -> tuple[Tensor, Sequence[Tensor | None]]:
        if self.plain and self.order is None:
            return (psi * g.transpose(1, 2)).mul_(2), ()
        if self.plain:
            weight = g.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        else:
            k = len(self.wires)
            place = {w: 2 + j for j, w in enumerate(self.wires)} | {w: 2 + k + j for j, w in enumerate(self.rest)}
            view = g.reshape(*g.shape[:2], *(2,) * k, *(1,) * (self.n - k))
            whole = view.permute(0, *(place[w] for w in range(self.n)), 1).expand(len(g), *(2,) * self.n, -1)
            weight = whole.clone(memory_format=torch.contiguous_format).view(psi.shape)
        if self.order is not None:
            weight = torch.empty_like(weight).index_copy_(1, self.order, weight)
        return weighed(psi, weight), ()


class Anything(Reading):
    """A function of the state (2**n, B) that torch differentiates."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        flat = psi.transpose(0, 1).reshape(psi.shape[1], -1)
        flat = flat if flat.is_complex() else torch.complex(flat, torch.zeros_like(flat))
        if torch.is_inference_mode_enabled():  # torch records nothing there, and refuses to try
            leaf, out = None, self.function(flat)
        else:
            with torch.enable_grad():
                leaf = (flat.clone() if flat.is_inference() else flat.detach()).requires_grad_()
                out = self.function(leaf)
        return out.detach().reshape(len(psi), -1, *out.shape[1:]), (leaf, out)

    def pull(self, psi: Tensor, tape: Any, g: Tensor, wanted: bool) -> tuple[Tensor, Sequence[Tensor | None]]:
        leaf, out = tape
        (grad,) = torch.autograd.grad(out, leaf, g.reshape(out.shape), retain_graph=True)
        back = grad.view(psi.shape[1], len(psi), -1).transpose(0, 1).contiguous()
        return back if psi.is_complex() else back.real.contiguous(), ()


def z_masks(terms: Sequence[PauliString], n: int) -> list[int] | None:
    """Per term the bits with a Z; None where one has an X or a Y."""
    if any(p in "XY" for t in terms for _, p in t.factors):
        return None
    return [sum(1 << (n - 1 - w) for w, _ in t.factors) for t in terms]
