"""TorchQuantum-NG's functional interface (imports torchquantum, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmarks.engines.base import TorchEngine, TorchReadout, by_row

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task

try:
    # the torchvision that torchquantum imports registers for operators that the CPU build of torch does not bring
    _MISSING = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    _MISSING.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _MISSING.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
except RuntimeError:  # they are there
    pass

import torchquantum as tq
import torchquantum.functional as tqf


class TorchQuantum(TorchEngine):
    """A device of the batch's size, gates by function; the state is read by a few lines of torch."""

    packages = ("torchquantum-ng", "torch")

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        readout = TorchReadout(task)

        def run(x: Any, w: Any, h: Any) -> Any:
            if task.generators > 1:
                x, w = by_row(task, x, w)
            else:
                w = w[None]
            device = tq.QuantumDevice(n_wires=task.wires, bsz=len(x))
            if task.amplitudes:
                device.set_states((x / x.square().sum(1, keepdim=True).sqrt()).to(torch.complex64))
            for gate in task.gates:
                wires = list(gate.wires) if len(gate.wires) > 1 else gate.wires[0]
                if gate.angles:
                    angles = [(x if kind == "x" else w)[:, i : i + 1] for kind, i in gate.angles]
                    getattr(tqf, gate.name)(device, wires=wires, params=torch.cat(angles, 1))
                else:
                    getattr(tqf, {"cx": "cnot", "h": "hadamard"}.get(gate.name, gate.name))(device, wires=wires)
            return readout(device.get_states_1d(), h)

        return self.step(task, arrays, run)
