"""Ours: qimg-simulator through its public driver (imports qimg_core, qimg_simulator, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.engines.base import TorchEngine
from benchmarks.task import split_rot
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_simulator.backend import SimulatorBackend
from qimg_simulator.compiled import kernels

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task
    from qimg_core.circuit import Circuit
    from qimg_core.measurement import Measurement


def circuit_of(task: Task) -> Circuit:
    """The task's circuit in our IR; parameters in the order of the task's arrays."""
    b = CircuitBuilder(task.wires)
    angles = {("x", i): b.input(f"x{i}") for i in range(task.n_inputs)}
    angles |= {("w", i): b.weight(f"w{i}") for i in range(task.n_weights)}
    if task.amplitudes:
        b.gate("prepare", *range(task.wires), angles=tuple(angles["x", i] for i in range(task.n_inputs)))
    for gate in split_rot(task.gates):
        b.gate(gate.name, *gate.wires, angles=tuple(angles[source] for source in gate.angles))
    return b.build()


def measurement_of(task: Task) -> Measurement:
    """What is asked of the device."""
    if task.reading == "z":
        return Expectation(each("Z", range(task.wires)))
    if task.reading == "windows":
        return LocalStates(task.windows)
    return Probabilities(range(task.wires))


class Simulator(TorchEngine):
    """A request a step, `SimulatorBackend.run`, torch tensors in float32.

    Args:
        device: ``torch``, or ``kernels`` with the compiled plugin.
        values_only: no derivatives.
    """

    packages = ("qimg-core", "qimg-simulator", "qimg-kernels", "torch")

    def __init__(self, *, device: str = "torch", values_only: bool = False) -> None:
        super().__init__(values_only=values_only)
        self.device = device

    def refuses(self, task: Task) -> str | None:
        """Without the compiled kernels there is nothing to measure."""
        if self.device == "kernels" and kernels() is None:
            return "not installed: qimg-kernels"
        return None

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        backend = SimulatorBackend(self.device)
        circuit, measurement = circuit_of(task), measurement_of(task)
        noise = None
        if task.noise is not None:  # ours is (1 - p) rho + p 1/2: X, Y, Z with p / 4 each
            noise = NoiseModel((NoiseRule(depolarizing(4 * task.noise / 3)),))
        half = 2 ** (task.wires - 1)

        def run(x: Any, w: Any, h: Any) -> Any:
            if task.amplitudes:
                x = x / x.square().sum(1, keepdim=True).sqrt()
            if task.generators > 1:  # a weight vector for as many consecutive rows
                x = x.repeat(task.generators, 1)
            request = ExecutionRequest(
                circuit=circuit,
                inputs=x,
                weights=w,
                measurement=measurement,
                noise=noise,
                readout=None if h is None else tuple(h[:, None]),
            )
            data = backend.run(request).data
            if task.reading == "postselected":
                data = data[:, :half]
                data = data / data.sum(1, keepdim=True)
            return data

        if task.shots is None:
            return self.step(task, arrays, run)

        calls = iter(range(1 << 62))

        def sample() -> Arrays:
            request = ExecutionRequest(
                circuit=circuit,
                inputs=torch.tensor(arrays["x"]),
                weights=torch.tensor(arrays["w"]),
                measurement=measurement,
                shots=task.shots,
                seed=next(calls),
            )
            return {"frequencies": backend.run(request).data.numpy()}

        return sample

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        assert task.shots is not None
        return {"counts": np.rint(raw["frequencies"].astype(float) * task.shots).astype(np.int64)}
