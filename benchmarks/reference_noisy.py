"""The judge for noisy circuits: density matrices in float64 (imports numpy, benchmarks.reference).

A density matrix on n wires is an array over 2n bits, rows first: U rho U^dag is U on wire q and its conjugate on
wire n + q. Depolarizing noise can be undone, so the state travels back with the cotangent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.reference import Parameters, apply, gate_matrix, overlaps, parts, z_signs
from benchmarks.task import split_rot

if TYPE_CHECKING:
    from benchmarks.task import Arrays, Task


def depolarized(rho: Any, wire: int, n: int, share: float) -> Any:
    """(1 - share) rho + share Tr_wire(rho) x 1/2."""
    out = rho * (1 - share)
    old, new = parts(rho, (wire, n + wire), 2 * n), parts(out, (wire, n + wire), 2 * n)
    mean = (old[0] + old[3]) / 2
    new[0] += share * mean
    new[3] += share * mean
    return out


def solve_noisy(task: Task, arrays: Arrays) -> Arrays:
    """See `benchmarks.reference.solve`; <Z> of every wire only."""
    assert task.noise is not None
    assert task.reading == "z"
    p, n, gates = Parameters(task, arrays), task.wires, split_rot(task.gates)
    share = 4 * task.noise / 3  # X, Y, Z with p / 3 each keep 1 - 4 p / 3 of the state
    undo = -share / (1 - share)
    matrices = [gate_matrix(g.name, p.angle(g)) for g in gates]
    rho = np.zeros((len(p.x), 4**n), dtype=complex)
    rho[:, 0] = 1
    for gate, (u, _) in zip(gates, matrices, strict=True):
        columns = [n + q for q in gate.wires]
        rho = apply(u, apply(u.conj(), rho, columns, 2 * n), gate.wires, 2 * n)
        for wire in gate.wires:
            rho = depolarized(rho, wire, n, share)
    z, diagonal = z_signs(n), np.arange(2**n) * (2**n + 1)
    values = rho[:, diagonal].real @ z.T
    lam = np.zeros_like(rho)
    lam[:, diagonal] = arrays["c"].astype(float) @ z
    for gate, (u, d) in zip(reversed(gates), reversed(matrices), strict=True):
        columns, back = [n + q for q in gate.wires], u.conj().transpose(0, 2, 1)
        for wire in reversed(gate.wires):
            rho, lam = depolarized(rho, wire, n, undo), depolarized(lam, wire, n, share)
        half = apply(back, rho, gate.wires, 2 * n)  # before U, after its conjugate on the columns
        if d is not None:
            # dL = Re <lam, dU rho U^dag + its adjoint>, the two being equal for Hermitian lam
            derivative = 2 * (d * overlaps(lam, half, gate.wires, 2 * n)).sum((1, 2)).real
            p.add(gate.angles[0], derivative)
        rho = apply(back.conj(), half, columns, 2 * n)
        lam = apply(back.conj(), apply(back, lam, gate.wires, 2 * n), columns, 2 * n)
    return {"values": values, **p.gradients()}
