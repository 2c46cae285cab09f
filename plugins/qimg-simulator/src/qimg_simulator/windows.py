"""Expectation values of matrices on windows of wires, with the way back by hand (imports torch, readout)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qimg_simulator import readout
from qimg_simulator.cover import cover
from qimg_simulator.reading import Reading
from qimg_simulator.steps import Gather, Step

if TYPE_CHECKING:
    from collections.abc import Sequence


class Windows(Reading):
    """<H> of matrices on windows, window by window, matrix by matrix; of their Hermitian parts where they have others.

    A block of wires that holds several windows is reduced once; a window alone with few matrices is
    not reduced: <psi|H|psi> costs less. Blocks of the same form are computed together.

    Args:
        n: wires.
        windows: in the order of the matrices.
        heights: how many matrices each has.
        device: of the state.
    """

    def __init__(
        self, n: int, windows: Sequence[tuple[int, ...]], heights: Sequence[int], device: torch.device
    ) -> None:
        self.n, self.windows, self.heights = n, tuple(windows), tuple(heights)
        forms: dict[tuple[bool, int, int], list[tuple[tuple[int, ...], list[int]]]] = {}
        for block, numbers in cover(windows, n):
            total = sum(heights[i] for i in numbers)
            whole = all(windows[i] == block for i in numbers)
            sandwich = whole and (total <= 2 or total * 2**n < 4 ** len(block))
            forms.setdefault((sandwich, len(block), total if sandwich else 0), []).append((block, numbers))
        starts = np.concatenate([[0], np.cumsum(heights)])
        self.parts: list[Sandwiches | Reductions] = []
        columns: list[int] = []
        for (sandwich, _, _), members in forms.items():
            kind = Sandwiches if sandwich else Reductions
            part = kind(
                n, [b for b, _ in members], [[(windows[i], i, heights[i]) for i in m] for _, m in members], device
            )
            self.parts.append(part)
            columns += [int(starts[i]) + j for _, m in members for i in m for j in range(heights[i])]
        self.back = torch.tensor(np.argsort(columns), device=device)
        self.columns = torch.tensor(columns, device=device)
        self.plain = columns == list(range(len(columns)))

    def shorten(self, steps: Sequence[Step]) -> Sequence[Step]:
        kept = list(steps)
        while kept and isinstance(kept[-1], Gather):
            last = kept.pop()
            assert isinstance(last, Gather)
            for part in self.parts:
                part.index = last.index[part.index]
        return kept

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        found = [part.evaluate(psi, matrices) for part in self.parts]
        values = torch.cat([f[0] for f in found], 2) if len(found) > 1 else found[0][0]
        if not self.plain:
            values = values.index_select(2, self.back)
        return values, ([f[1] for f in found], matrices)

    def pull(self, psi: Tensor, tape: Any, g: Tensor, wanted: bool) -> tuple[Tensor, Sequence[Tensor | None]]:
        tapes, matrices = tape
        if not self.plain:
            g = g.index_select(2, self.columns)
        grads: list[Tensor | None] = [None] * len(matrices)
        total, at = torch.zeros_like(psi), 0
        for part, kept in zip(self.parts, tapes, strict=True):
            part.pull(psi, kept, g[:, :, at : at + part.width], matrices, total, grads if wanted else None)
            at += part.width
        return total, grads


def _first(n: int, blocks: Sequence[tuple[int, ...]], device: torch.device) -> Tensor:
    return torch.tensor(np.concatenate([readout.window_first(b, n) for b in blocks]), device=device)


class Sandwiches:
    """Blocks of k wires, each with the same number of matrices of its own: Re <psi|H|psi>."""

    def __init__(
        self,
        n: int,
        blocks: Sequence[tuple[int, ...]],
        members: Sequence[Sequence[tuple[tuple[int, ...], int, int]]],
        device: torch.device,
    ) -> None:
        self.count, self.size = len(blocks), 2 ** len(blocks[0])
        self.index = _first(n, blocks, device)
        self.numbers = [i for m in members for _, i, _ in m]
        self.heights = [h for m in members for _, _, h in m]
        self.width = sum(self.heights)

    def _stacked(self, psi: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """The Hermitian parts, (blocks, K, size, size): the others do not show in Re <psi|H|psi>."""
        h = torch.cat([_as(matrices[i], psi).reshape(-1, self.size, self.size) for i in self.numbers])
        return ((h + h.mH) / 2).view(self.count, -1, self.size, self.size)

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        groups, width = len(psi), psi.shape[2]
        h = self._stacked(psi, matrices)
        k = h.shape[1]
        v = psi.index_select(1, self.index).view(groups * self.count, self.size, -1)
        hv = torch.bmm(_repeated(h.flatten(1, 2), groups), v).view(groups, self.count, k, -1, width)
        products = _real(hv) * _real(v.view(groups, self.count, 1, -1, width))
        values = products.sum(3).view(groups, self.count * k, width, -1).sum(3)
        return values.transpose(1, 2), (v, hv)

    def pull(
        self,
        psi: Tensor,
        tape: Any,
        g: Tensor,
        matrices: Sequence[Tensor],
        total: Tensor,
        grads: list[Tensor | None] | None,
    ) -> None:
        v, hv = tape
        groups, width, k = len(psi), psi.shape[2], hv.shape[2]
        weights = g.transpose(1, 2).reshape(groups, self.count, k, 1, width)
        twice = hv * (2 * weights)
        total.index_add_(1, self.index, (twice.sum(2) if k > 1 else twice).view(groups, -1, width))
        if grads is not None:
            gv = v.view(groups, self.count, 1, -1, width) * weights
            for_h = torch.bmm(gv.reshape(groups * self.count, k * self.size, -1), v.mH)
            for_h = for_h.view(groups, self.count * k, self.size, self.size).sum(0)
            for i, part in zip(self.numbers, torch.split(for_h, self.heights), strict=True):
                grads[i] = _like(part, matrices[i])


def _as(h: Tensor, psi: Tensor) -> Tensor:
    """A matrix in the state's dtype; a real state does not see its imaginary part."""
    return (h.real if h.is_complex() and not psi.is_complex() else h).to(psi.dtype)


def _repeated(h: Tensor, groups: int) -> Tensor:
    return h if groups == 1 else h.repeat(groups, 1, 1)


def _real(x: Tensor) -> Tensor:
    """(..., B) -> (..., B * parts) real."""
    return torch.view_as_real(x).flatten(-2) if x.is_complex() else x


def _joined(x: Tensor, psi: Tensor) -> Tensor:
    """The inverse of `_real`, for numbers of a state."""
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2)) if psi.is_complex() else x


class Reductions:
    """Blocks of k wires that hold several windows: their reduced states, then sums over entries."""

    def __init__(
        self,
        n: int,
        blocks: Sequence[tuple[int, ...]],
        members: Sequence[Sequence[tuple[tuple[int, ...], int, int]]],
        device: torch.device,
    ) -> None:
        self.count, self.size = len(blocks), 2 ** len(blocks[0])
        self.index = _first(n, blocks, device)
        self.members, self.device = members, device
        self.embedded = [
            [torch.tensor(readout.embedded(block, w), device=device) for w, _, _ in m]
            for block, m in zip(blocks, members, strict=True)
        ]
        self.heights = [sum(h for _, _, h in m) for m in members]
        self.width = sum(self.heights)
        top = max(self.heights)
        where = [b * top + j for b, h in enumerate(self.heights) for j in range(h)]
        self.where = None if len(where) == self.count * top else torch.tensor(where, device=device)

    def _tables(self, psi: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """(blocks, largest height, parts * 4**k) real: the matrices on the blocks' entries."""
        top = max(self.heights)
        rows = []
        for m, indices, height in zip(self.members, self.embedded, self.heights, strict=True):
            for (_, i, _), index in zip(m, indices, strict=True):
                flat = _as(matrices[i], psi).reshape(len(matrices[i]), -1)
                rows.append(torch.cat([flat, flat.new_zeros(len(flat), 1)], 1).index_select(1, index))
            if height < top:
                rows.append(rows[-1].new_zeros(top - height, rows[-1].shape[1]))
        return _real(torch.cat(rows)).view(self.count, top, -1)

    def evaluate(self, psi: Tensor, matrices: Sequence[Tensor]) -> tuple[Tensor, Any]:
        groups, width = len(psi), psi.shape[2]
        moved = psi.index_select(1, self.index).view(groups, self.count, self.size, -1, width)
        x = moved.permute(1, 0, 4, 2, 3).contiguous()  # (blocks, G, B, 2**k, rest)
        rho = x @ x.mH
        entries = _real(rho.view(self.count, groups * width, -1))
        table = self._tables(psi, matrices)
        values = torch.bmm(entries, table.transpose(1, 2))  # (blocks, G * B, top)
        flat = values.transpose(0, 1).reshape(groups, width, -1)
        return flat if self.where is None else flat.index_select(2, self.where), (x, entries, table)

    def pull(
        self,
        psi: Tensor,
        tape: Any,
        g: Tensor,
        matrices: Sequence[Tensor],
        total: Tensor,
        grads: list[Tensor | None] | None,
    ) -> None:
        x, entries, table = tape
        groups, width = len(psi), psi.shape[2]
        if self.where is not None:
            padded = g.new_zeros(groups, width, self.count * table.shape[1])
            g = padded.index_copy_(2, self.where, g.contiguous())
        g = g.reshape(groups * width, self.count, -1).transpose(0, 1)
        d = _joined(torch.bmm(g, table), psi).view(self.count, groups, width, self.size, self.size)
        back = (d + d.mH) @ x
        moved = back.permute(1, 0, 3, 4, 2).reshape(groups, -1, width)
        total.index_add_(1, self.index, moved)
        if grads is None:
            return
        for_table = _joined(torch.bmm(g.transpose(1, 2), entries), psi)
        for b, (m, indices) in enumerate(zip(self.members, self.embedded, strict=True)):
            at = 0
            for (_, i, height), index in zip(m, indices, strict=True):
                flat = for_table.new_zeros(height, matrices[i][0].numel() + 1)
                flat.index_add_(1, index, for_table[b, at : at + height])
                grads[i] = _like(flat[:, :-1].reshape(matrices[i].shape), matrices[i])
                at += height


def _like(gradient: Tensor, parameter: Tensor) -> Tensor:
    if gradient.is_complex() and not parameter.is_complex():
        gradient = gradient.real
    return gradient.to(parameter.dtype).view(parameter.shape)
