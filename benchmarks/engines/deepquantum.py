"""DeepQuantum's QubitCircuit (imports deepquantum, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deepquantum as dq
import numpy as np
import torch

from benchmarks.engines.base import TorchEngine, TorchReadout, by_row

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Source, Task


class DeepQuantum(TorchEngine):
    """Inputs are encoded data, shared weights are the circuit's own parameters; torch reads the state.

    With weights of its own for each row every angle is encoded data.
    """

    packages = ("deepquantum", "torch")

    def circuit(self, task: Task) -> tuple[Any, list[Source], list[Source]]:
        """The circuit, the sources of its data, and those of its parameters in their order."""
        circuit = dq.QubitCircuit(task.wires)
        data: list[Source] = []
        own: list[Source] = []
        for gate in task.gates:
            if not gate.angles:
                getattr(circuit, {"cx": "cnot"}.get(gate.name, gate.name))(*gate.wires)
                continue
            encode = task.generators > 1 or any(kind == "x" for kind, _ in gate.angles)
            wires: list[Any] = list(gate.wires)
            if gate.name in ("rxx", "ryy", "rzz"):
                wires = [wires]
            angles = list(gate.angles)
            if gate.name == "rot":  # U3(theta, phi, lambda) is RZ(phi) RY(theta) RZ(lambda) up to a phase
                angles = [angles[1], angles[2], angles[0]]
            getattr(circuit, {"rot": "u3"}.get(gate.name, gate.name))(*wires, encode=encode)
            (data if encode else own).extend(angles)
        return circuit, data, own

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        circuit, data, own = self.circuit(task)
        readout, parameters = TorchReadout(task), list(circuit.parameters())
        columns = torch.tensor([i if kind == "x" else task.n_inputs + i for kind, i in data])
        place = [i for _, i in own]

        def run(x: Any, w: Any, h: Any) -> Any:
            state = None
            if task.generators > 1:
                x, w = by_row(task, x, w)
                x = torch.cat([x, w], 1)
            if task.amplitudes:
                state = (x / x.square().sum(1, keepdim=True).sqrt()).to(torch.complex64)
            psi = circuit(data=x.index_select(1, columns) if data else None, state=state)
            return readout(psi.reshape(len(x), -1), h)

        if not own:
            return self.step(task, arrays, run)
        names = ("x", "h") if "h" in arrays else ("x",)
        c = torch.tensor(arrays["c"])

        def whole() -> Arrays:
            for p, i in zip(parameters, place, strict=True):
                p.data.fill_(float(arrays["w"][i]))
                p.grad = None
            leaves: dict[str, Any] = {k: torch.tensor(arrays[k], requires_grad=True) for k in names}
            values = run(leaves["x"], None, leaves.get("h"))
            (values * c).sum().backward()
            gw = np.zeros_like(arrays["w"])
            np.add.at(gw, place, torch.stack([p.grad.reshape(()) for p in parameters]).numpy())
            return {"values": values.detach().numpy(), "w": gw, **{k: v.grad.numpy() for k, v in leaves.items()}}

        return whole
