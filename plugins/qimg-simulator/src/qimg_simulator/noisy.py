"""The density-matrix engine: a circuit with noise on real Pauli vectors (4**n, B) (imports torch).

Gates and channels on one wire are merged into 4x4 matrices per wire and applied as Kronecker blocks;
Clifford gates on two wires, with Pauli noise after them, are one signed and scaled gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName, matrix
from qimg_simulator.angles import AngleTable, columns
from qimg_simulator.channels import AXIS_DIGITS, BLOCH, channel_transfer, transfer
from qimg_simulator.evolve import evolve
from qimg_simulator.matrices import MatrixBank
from qimg_simulator.noisy_steps import Anywhere, Scatter, Turn
from qimg_simulator.pauli_basis import pauli_vector
from qimg_simulator.plan import check_prepare
from qimg_simulator.preparation import register
from qimg_simulator.primitives import FIXED, FROM_Z, TO_Z, Axis, Fixed, Rotation, axis_of
from qimg_simulator.stages import Dense, Step

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle, Circuit, Gate
    from qimg_core.noise import NoiseModel

    Array = npt.NDArray[np.float64]

G = GateName
_BLOCK = 2


class NoisyProgram:
    """A circuit with a noise model, made ready for one precision and device.

    Args:
        circuit: unitary gates, and ``prepare`` first on its wires.
        noise: its rules; the read-out error belongs to the measurement.
        weights_by_row: the weights will be (rows, n_weights).
        like: any tensor of the real dtype on the device.
    """

    def __init__(self, circuit: Circuit, noise: NoiseModel, *, weights_by_row: bool, like: Tensor) -> None:
        check_prepare(circuit)
        self.n, self._by_row = circuit.n_wires, weights_by_row
        self._like = torch.empty(0, dtype=like.dtype, device=like.device)
        self._rules = [(r, Fixed.from_array(channel_transfer(r.channel))) for r in noise.rules]
        self._rows, self._shared = columns(circuit, weights_by_row=weights_by_row)
        self._bank = MatrixBank(BLOCH)
        self._drafts: list[tuple[int, int, int] | Step] = []
        self._runs: dict[int, list[Fixed | Rotation]] = {}
        self._map: tuple[Array, Array] | None = None
        self._row_angles: list[Angle] = []
        self._prepared: list[Gate] = []
        for gate in circuit.gates:
            if gate.name is G.PREPARE:
                self._prepared.append(gate)
            else:
                self._gate(gate)
        self._flush()
        self._bank.freeze(self._shared, self._like)
        self._steps = [self._dense(*d) if isinstance(d, tuple) else d for d in self._drafts]
        self._row_table = AngleTable(self._row_angles, self._rows, self._like)
        stacked = {**self._shared, **{p: c + len(self._shared) for p, c in self._rows.items()}}
        self._registers = [(AngleTable(g.angles, stacked, self._like), 2 ** len(g.wires)) for g in self._prepared]

    # ---- compiling

    def _gate(self, gate: Gate) -> None:
        name, wires = gate.name, gate.wires
        if name in FIXED:
            self._fixed(name, wires[0])
        elif name in (G.RX, G.RY, G.RZ):
            self._turn(axis_of(name), wires[0], gate.angle)
        elif name is G.P:  # RZ up to a global phase, which a density matrix does not have
            self._turn("z", wires[0], gate.angle)
        elif name in (G.CX, G.CZ, G.SWAP):
            self._clifford(name, wires)
        elif name is G.CCX:
            self._flush()
            m = torch.tensor(transfer([matrix(name)]), dtype=self._like.dtype, device=self._like.device)
            self._drafts.append(Anywhere(m, wires, self.n))
        else:
            self._two_wire_rotation(gate)
        for rule, channel in self._rules:
            for wire in rule.targets(name, wires):
                self._noise(channel, wire)

    def _two_wire_rotation(self, gate: Gate) -> None:
        """RPP(t) = turn P to Z, CX, RZ(t), CX, turn back; CRZ(t) = RZ(t/2) on the target, then RZZ(-t/2)."""
        a, b = gate.wires
        controlled = gate.name in CONTROLLED_ROTATIONS
        axis = axis_of(gate.name)
        turned = (b,) if controlled else (a, b)
        for name in TO_Z[axis]:
            for wire in turned:
                self._fixed(name, wire)
        angle = gate.angle * 0.5 if controlled else gate.angle
        if controlled:
            self._turn("z", b, angle)
        self._clifford(G.CX, (a, b))
        self._turn("z", b, -angle if controlled else angle)
        self._clifford(G.CX, (a, b))
        for name in FROM_Z[axis]:
            for wire in turned:
                self._fixed(name, wire)

    def _fixed(self, name: GateName, wire: int) -> None:
        self._wire(Fixed.from_array(transfer([matrix(name)])), wire)

    def _wire(self, factor: Fixed | Rotation, wire: int) -> None:
        if self._map is not None:
            self._flush()
        self._runs.setdefault(wire, []).append(factor)

    def _turn(self, axis: Axis, wire: int, angle: Angle) -> None:
        if angle.parameter is None:
            rotation = transfer([matrix(GateName("r" + axis), angle.offset)])
            self._wire(Fixed.from_array(rotation), wire)
        elif angle.parameter in self._shared:
            self._wire(Rotation(axis, angle), wire)
        else:
            if wire in self._runs or self._map is not None:
                self._flush()
            self._drafts.append(Turn(AXIS_DIGITS[axis], 4**wire, len(self._row_angles)))
            self._row_angles.append(angle)

    def _noise(self, channel: Fixed, wire: int) -> None:
        m = channel.array.real
        if self._map is not None and np.array_equal(m, np.diag(np.diag(m))):
            index, scale = self._map
            digit = (np.arange(4**self.n) >> (2 * (self.n - 1 - wire))) & 3
            self._map = index, scale * np.diag(m)[digit]
        else:
            self._wire(channel, wire)

    def _clifford(self, name: GateName, wires: tuple[int, ...]) -> None:
        if self._runs:
            self._flush()
        small = np.rint(transfer([matrix(name)]))
        source, sign = np.abs(small).argmax(1), small.sum(1)
        i = np.arange(4**self.n)
        shifts = [2 * (self.n - 1 - w) for w in wires]
        own = ((i >> shifts[0]) & 3) * 4 + ((i >> shifts[1]) & 3)
        rest = i & ~((3 << shifts[0]) | (3 << shifts[1]))
        index = rest | (source[own] >> 2 << shifts[0]) | ((source[own] & 3) << shifts[1])
        if self._map is None:
            self._map = index, sign[own]
        else:  # new[i] = sign[i] old[index[i]], old[j] = scale[j] before[map[j]]
            self._map = self._map[0][index], sign[own] * self._map[1][index]

    def _flush(self) -> None:
        """Turn what was collected (a gather, or runs on wires; never both) into steps."""
        if self._map is not None:
            index, scale = self._map
            device = self._like.device
            factor = torch.tensor(scale, dtype=self._like.dtype, device=device)[:, None]
            self._drafts.append(Scatter(torch.tensor(index, device=device), factor))
            self._map = None
        if not self._runs:
            return
        number = {w: self._bank.run(tuple(run)) for w, run in self._runs.items()}
        for start in range(0, self.n, _BLOCK):
            used = [w for w in range(start, min(start + _BLOCK, self.n)) if w in number]
            if used:
                block = self._bank.block([number.get(w, 0) for w in range(used[0], used[-1] + 1)])
                self._drafts.append((used[0], used[-1] - used[0] + 1, block))
        self._runs = {}

    def _dense(self, start: int, size: int, block: int) -> Dense:
        kind, index = self._bank.where[block]
        constant = self._bank.constant_blocks[index] if kind == 0 else None
        return Dense(4**start, 4**size, size, index, constant)

    # ---- running

    def state(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Pauli vectors (4**n, B); B is 1 where nothing differs from row to row.

        Raises:
            DataError: amplitudes whose norm is not 1.
        """
        if self._by_row:
            rows, shared = torch.cat([inputs, weights], 1).t().contiguous(), weights.new_empty(0)
        else:
            rows, shared = inputs.t().contiguous(), weights
        v = self._start(shared, rows)
        if self._row_angles and v.shape[1] == 1:
            v = v.expand(-1, rows.shape[1])
        blocks = dict(zip(self._bank.sizes, self._bank.evaluate(shared), strict=True))
        angles = self._row_table.evaluate(rows) if self._row_angles else rows[:0]
        return evolve(v, self._steps, blocks, shared[:0], angles, unitary=False)

    def _start(self, shared: Tensor, rows: Tensor) -> Tensor:
        prepared = [w for gate in self._prepared for w in gate.wires]
        order = [w for w in range(self.n) if w not in prepared] + prepared
        v = self._like.new_ones((1, 1))
        zero = torch.tensor([1.0, 0, 0, 1], dtype=v.dtype, device=v.device)[:, None]
        for _ in range(self.n - len(prepared)):
            v = (v[:, None] * zero[None]).flatten(0, 1)
        stacked = torch.cat([shared[:, None].expand(-1, rows.shape[1]), rows])
        for table, size in self._registers:
            psi = register(table, size, stacked).t()
            rho = psi[:, :, None] * psi.conj()[:, None, :]
            v = (v[:, None] * pauli_vector(rho).t()[None]).flatten(0, 1)
        if order == list(range(self.n)):
            return v
        axes = np.arange(4**self.n).reshape((4,) * self.n).transpose([order.index(w) for w in range(self.n)])
        return v.index_select(0, torch.tensor(axes.reshape(-1).copy(), device=v.device))
