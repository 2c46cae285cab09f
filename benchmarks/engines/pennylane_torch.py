"""PennyLane with the torch interface: default.qubit, lightning.qubit, default.mixed (imports pennylane, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
import torch

from benchmarks.engines.base import TorchEngine, bits_to_counts, by_row
from benchmarks.engines.pennylane_tape import tape

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task


class PennyLane(TorchEngine):
    """A QNode with the torch interface; one broadcast call for the batch."""

    packages: tuple[str, ...] = ("pennylane", "torch")
    device = ""
    method = "backprop"

    def __init__(self, *, values_only: bool = False, by_row: bool = False) -> None:
        super().__init__(values_only=values_only)
        self.by_row = by_row

    def node(self, task: Task) -> Any:
        """The QNode."""
        return qml.QNode(
            tape(task), qml.device(self.device, wires=task.wires), interface="torch", diff_method=self.method
        )

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        if task.shots is not None:
            return self._sampler(task, arrays)
        node = self.node(task)

        def one(x: Any, w: Any, h: Any) -> Any:
            out = node(x, w) if h is None else node(x, w, h)
            if task.reading != "postselected":
                return torch.stack(list(out), -1)
            out = out[:, : 2 ** (task.wires - 1)]
            return out / out.sum(1, keepdim=True)

        def run(x: Any, w: Any, h: Any) -> Any:
            if task.generators == 1:
                return one(x, w, h)
            if self.by_row:
                return one(*by_row(task, x, w), h)
            return torch.cat([one(x, w[g], h) for g in range(task.generators)])

        return self.step(task, arrays, run)

    def _sampler(self, task: Task, arrays: Arrays) -> Step:
        device = qml.device(self.device, wires=task.wires)
        node = qml.set_shots(qml.QNode(tape(task), device, diff_method=None), task.shots)
        return lambda: {"bits": np.asarray(node(torch.tensor(arrays["x"]), torch.tensor(arrays["w"])))}

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        bits = raw["bits"].reshape(task.rows, -1, task.wires)
        return {"counts": bits_to_counts(bits, task.wires)}


class DefaultQubit(PennyLane):
    """Backprop through PennyLane's own statevector simulator."""

    device = "default.qubit"


class DefaultMixed(PennyLane):
    """Backprop through PennyLane's density-matrix simulator."""

    device = "default.mixed"


class Lightning(PennyLane):
    """PennyLane's C++ simulator, complex64, adjoint differentiation with ``device_vjp``."""

    packages = ("pennylane", "pennylane-lightning", "torch")

    def refuses(self, task: Task) -> str | None:
        if task.reading in ("windows", "postselected"):
            return "adjoint differentiation takes expectation values of fixed observables"
        return None

    def node(self, task: Task) -> Any:
        device = qml.device("lightning.qubit", wires=task.wires, c_dtype=np.complex64)
        return qml.QNode(tape(task), device, interface="torch", diff_method="adjoint", device_vjp=True)

    def _sampler(self, task: Task, arrays: Arrays) -> Step:
        device = qml.device("lightning.qubit", wires=task.wires, c_dtype=np.complex64)
        node = qml.set_shots(qml.QNode(tape(task), device, diff_method=None), task.shots)
        return lambda: {"bits": np.asarray(node(arrays["x"], arrays["w"]))}
