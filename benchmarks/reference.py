"""The judge: values and derivatives of a task in float64, by its own code (imports numpy, benchmarks.task).

Every gate is applied by its definition, gates on one wire in a row are multiplied first. Derivatives are adjoint:
with the loss L = sum(c * values) and the cotangent lam = dL/dRe psi + i dL/dIm psi behind a gate U(t), dL/dt = Re
<lam, U'(t) psi>, and both psi and lam travel back by the inverse (Jones and Gacon 2020, arXiv:2009.02823).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field

from benchmarks.task import split_rot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.task import Arrays, Gate, Task

PAULI = {
    "x": np.array([[0, 1], [1, 0]], dtype=complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0 + 0j, -1]),
}
FIXED = {
    "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2) + 0j,
    "cx": np.eye(4, dtype=complex)[[0, 1, 3, 2]],
    "cz": np.diag([1.0 + 0j, 1, 1, -1]),
}


def gate_matrix(name: str, angle: Any = None) -> tuple[Any, Any]:
    """(U, dU/dangle), each (m, d, d) for angles (m,); (1, d, d) and None for a gate without."""
    if name in FIXED:
        return FIXED[name][None], None
    generator = PAULI[name[-1]]
    if len(name) == 3 and name[0] == "r":
        generator = np.kron(generator, generator)
    cos, sin = np.cos(angle / 2)[:, None, None], np.sin(angle / 2)[:, None, None]
    eye = np.eye(len(generator))
    u, d = cos * eye - 1j * sin * generator, (-sin * eye - 1j * cos * generator) / 2
    if name[0] == "c":
        top = np.zeros((len(u), 4, 4), dtype=complex)
        low = top.copy()
        top[:, 2:, 2:], low[:, 2:, 2:] = u, d
        top[:, 0, 0] = top[:, 1, 1] = 1
        return top, low
    return u, d


def parts(state: Any, wires: Sequence[int], n: int) -> list[Any]:
    """Views of (rows, 2**n) for each value of the bits on one or two wires, first wire most significant."""
    rows = len(state)
    if len(wires) == 1:
        q = wires[0]
        view = state.reshape(rows, 2**q, 2, 2 ** (n - q - 1))
        return [view[:, :, i] for i in range(2)]
    low, high = sorted(wires)
    view = state.reshape(rows, 2**low, 2, 2 ** (high - low - 1), 2, 2 ** (n - high - 1))
    if wires[0] == low:
        return [view[:, :, i, :, j] for i in range(2) for j in range(2)]
    return [view[:, :, j, :, i] for i in range(2) for j in range(2)]


def apply(u: Any, state: Any, wires: Sequence[int], n: int) -> Any:
    """U (m, d, d), m = 1 or rows, on one or two wires of (rows, 2**n)."""
    out = np.empty_like(state)
    for i, target in enumerate(parts(out, wires, n)):
        total: Any = 0.0
        for j, source in enumerate(parts(state, wires, n)):
            column = u[:, i, j].reshape((-1,) + (1,) * (source.ndim - 1))
            if column.any():
                total = total + column * source
        target[...] = total
    return out


def overlaps(lam: Any, psi: Any, wires: Sequence[int], n: int) -> Any:
    """E (rows, d, d): E[i, j] = sum of conj(lam_i) psi_j over the other wires, so that dL = Re sum dU_ij E_ij."""
    rows = len(psi)
    ls, ps = parts(lam, wires, n), parts(psi, wires, n)
    out = np.empty((rows, len(ls), len(ps)), dtype=complex)
    for i, a in enumerate(ls):
        for j, b in enumerate(ps):
            out[:, i, j] = (a.conj() * b).reshape(rows, -1).sum(1)
    return out


@define
class Block:
    """Gates on the same wires in a row, at given parameters."""

    wires: tuple[int, ...]
    gates: list[tuple[Gate, Any, Any]] = field(factory=list)

    @property
    def matrix(self) -> Any:
        out = self.gates[0][1]
        for _, u, _ in self.gates[1:]:
            out = u @ out
        return out

    def pull(self, overlap: Any, add: Any) -> None:
        """Give dL/dangle (rows,) of every gate with an angle to ``add(source, derivative)``."""
        for k, (gate, _, d) in enumerate(self.gates):
            if d is None:
                continue
            varied = d
            for _, u, _ in self.gates[k + 1 :]:
                varied = u @ varied
            for _, u, _ in reversed(self.gates[:k]):
                varied = varied @ u
            add(gate.angles[0], (varied * overlap).sum((1, 2)).real)


class Parameters:
    """Angles of a task by row, and their derivatives."""

    def __init__(self, task: Task, arrays: Arrays) -> None:
        self.task = task
        x, w = arrays["x"].astype(float), arrays["w"].astype(float)
        self.x = np.tile(x, (task.generators, 1))
        self.w = np.repeat(w.reshape(task.generators, -1), task.rows, 0) if task.generators > 1 else w[None]
        self.gx, self.gw = np.zeros_like(self.x), np.zeros((len(self.x), self.w.shape[1]))

    def angle(self, gate: Gate) -> Any:
        """(rows,) or (1,); None for a gate without."""
        if not gate.angles:
            return None
        kind, i = gate.angles[0]
        return (self.x if kind == "x" else self.w)[:, i]

    def add(self, source: tuple[str, int], derivative: Any) -> None:
        (self.gx if source[0] == "x" else self.gw)[:, source[1]] += derivative

    def gradients(self) -> Arrays:
        """By inputs (rows, n_inputs), summed over generators, and by weights in their shape."""
        t = self.task
        gw = self.gw.reshape(t.generators, -1, self.gw.shape[1]).sum(1)
        gx = self.gx.reshape(t.generators, t.rows, -1).sum(0)
        return {"x": gx, "w": gw if t.generators > 1 else gw[0]}


def blocks(task: Task, p: Parameters) -> list[Block]:
    """Consecutive gates on one wire become one block; a gate on two wires is its own."""
    out: list[Block] = []
    open_: dict[int, Block] = {}
    for gate in split_rot(task.gates):
        u, d = gate_matrix(gate.name, p.angle(gate))
        if len(gate.wires) == 1 and gate.wires[0] in open_:
            open_[gate.wires[0]].gates.append((gate, u, d))
            continue
        block = Block(gate.wires, [(gate, u, d)])
        out.append(block)
        for wire in gate.wires:
            open_.pop(wire, None)
        if len(gate.wires) == 1:
            open_[gate.wires[0]] = block
    return out


def z_signs(n: int) -> Any:
    """(n, 2**n): +1 where the wire's bit is 0, else -1."""
    return np.array([1 - 2 * ((np.arange(2**n) >> (n - 1 - q)) & 1) for q in range(n)], dtype=float)


def window_order(window: Sequence[int], n: int) -> Any:
    """Index that brings the window's wires to the front."""
    rest = [q for q in range(n) if q not in window]
    return np.arange(2**n).reshape((2,) * n).transpose([*window, *rest]).reshape(-1)


def read(task: Task, psi: Any, arrays: Arrays) -> tuple[Any, Any, Arrays]:
    """(values, cotangent of psi, derivatives by ``h``)."""
    n, c = task.wires, arrays["c"].astype(float)
    p = np.abs(psi) ** 2
    if task.reading == "z":
        z = z_signs(n)
        return p @ z.T, 2 * (c @ z) * psi, {}
    if task.reading == "counts":
        return p, np.zeros_like(psi), {}
    if task.reading == "postselected":
        half = 2 ** (n - 1)
        total = p[:, :half].sum(1, keepdims=True)
        values = p[:, :half] / total
        pull = np.zeros_like(p)
        pull[:, :half] = (c - (c * values).sum(1, keepdims=True)) / total
        return values, 2 * pull * psi, {}
    values, lam, gh = np.empty(c.shape), np.zeros_like(psi), np.empty(arrays["h"].shape, dtype=complex)
    for i, window in enumerate(task.windows):
        order, h = window_order(window, n), arrays["h"][i].astype(complex)
        v = psi[:, order].reshape(len(psi), len(h), -1)
        hv = h @ v
        values[:, i] = (v.conj() * hv).sum((1, 2)).real
        lam[:, order] += 2 * c[:, i, None] * hv.reshape(len(psi), -1)
        gh[i] = np.einsum("b,bik,bjk->ij", c[:, i], v, v.conj())
    return values, lam, {"h": gh}


def solve(task: Task, arrays: Arrays) -> Arrays:
    """``values``, and the derivatives by ``x``, ``w`` and ``h`` where the task has them; float64, complex128.

    The derivative by Hermitian ``h`` is sum_b c_b psi psi^dag on the window, itself Hermitian.
    """
    if task.noise is not None:
        from benchmarks.reference_noisy import solve_noisy

        return solve_noisy(task, arrays)
    p, n = Parameters(task, arrays), task.wires
    norm = np.linalg.norm(p.x, axis=1, keepdims=True)
    psi = np.zeros((len(p.x), 2**n), dtype=complex)
    if task.amplitudes:
        psi[:] = p.x / norm
    else:
        psi[:, 0] = 1
    run = blocks(task, p)
    for block in run:
        psi = apply(block.matrix, psi, block.wires, n)
    values, lam, more = read(task, psi, arrays)
    if task.reading == "counts":
        return {"values": values}
    for block in reversed(run):
        back = block.matrix.conj().transpose(0, 2, 1)
        psi = apply(back, psi, block.wires, n)
        if any(d is not None for _, _, d in block.gates):
            block.pull(overlaps(lam, psi, block.wires, n), p.add)
        lam = apply(back, lam, block.wires, n)
    if task.amplitudes:
        unit, pull = p.x / norm, lam.real
        p.gx = (pull - unit * (unit * pull).sum(1, keepdims=True)) / norm
    return {"values": values, **p.gradients(), **more}
