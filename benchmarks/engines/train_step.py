"""A training step of our generators, taken apart (imports qimg_core, torch, the generators by name)."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.check import compare
from benchmarks.engines.base import TorchEngine
from benchmarks.reference import solve
from benchmarks.task import Gate, Task
from qimg_core import Session
from qimg_core.backend import LocalBackend
from qimg_core.datasets import ArraySource
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import LocalStates

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays
    from qimg_core.torch_layer import QuantumLayer

STEPS = 1_000_000
IMAGES = 2048


class TrainStep(TorchEngine):
    """One arm of a generator, its session with a ledger in a temporary folder."""

    packages = ("qimg-core", "qimg-simulator", "qimg-diffusion", "torch")

    def __init__(self, *, arm: str) -> None:
        super().__init__()
        self.arm = arm
        self.layer: QuantumLayer | None = None
        self.clock = Clock()

    def prepare(self, task: Any, arrays: Arrays) -> Step:
        self.folder = tempfile.TemporaryDirectory()
        self.session = Session(Path(self.folder.name), seed=1, activity="train", backend="simulator:torch")
        # the latent flow's compressor is computed, not trained: every step is one of the velocity
        changes = {"compressor": "pca"} if task.generator == "quantum-latent-flow" else {}
        model: Any = self.session.generator(task.generator, arm=self.arm, **changes)
        c, rng = model.config, np.random.default_rng(1)
        images = ArraySource(
            name="noise",
            pixels=rng.integers(0, 256, (IMAGES, c.size, c.size, c.channels), dtype=np.uint8),
            labels=np.arange(IMAGES) % c.classes,
        )
        if model.layer is not None:
            self.layer = model.layer.quantum
        if self.layer is not None:
            self.clock.watch(self.session, self.layer)
        steps = model.fit(images, steps=STEPS)

        def step() -> Arrays:
            start = perf_counter()
            loss = next(steps).metrics["loss"]
            self.clock.finish(perf_counter() - start)
            return {"loss": np.array(loss)}

        return step

    def check(self) -> dict[str, Any] | None:
        """The layer's request at random angles, 8 rows, against the judge."""
        if self.layer is None:
            return None
        task, arrays, request = self._request(self.layer)
        leaves: dict[str, Any] = {k: torch.tensor(arrays[k], requires_grad=True) for k in ("x", "w")}
        backend = self.session.backend()
        assert isinstance(backend, LocalBackend)
        values = backend.run(request(leaves["x"], leaves["w"])).data
        (values * torch.tensor(arrays["c"])).sum().backward()
        got = {"values": values.detach().numpy(), **{k: v.grad.numpy() for k, v in leaves.items()}}
        verdict = compare(task, self._judged(task, arrays), got)
        return {"error": verdict.error, "reason": verdict.reason}

    def _request(self, layer: QuantumLayer) -> tuple[Task, Arrays, Any]:
        circuit, observable = layer.circuit, layer.observable
        measurement = observable.measurement
        assert isinstance(measurement, LocalStates)
        column: dict[int | None, tuple[str, int]] = {p: ("x", i) for i, p in enumerate(circuit.input_indices)}
        column |= {p: ("w", i) for i, p in enumerate(circuit.weight_indices)}
        gates = []
        for gate in circuit.gates:
            assert all((a.scale, a.offset) == (1.0, 0.0) for a in gate.angles), "the judge takes plain angles"
            gates.append(Gate(gate.name.value, gate.wires, [column[a.parameter] for a in gate.angles]))
        with torch.no_grad():
            readout = observable.readout(layer.observable_parameters)
        assert readout is not None
        windows = [w for w, h in zip(measurement.windows, readout, strict=True) for _ in range(len(h))]
        task = Task(
            name="layer", wires=circuit.n_wires, rows=8, layers=1, gates=gates, reading="windows", windows=windows
        )
        rng = np.random.default_rng(2)
        arrays: Arrays = {
            "x": rng.uniform(-6, 6, (8, circuit.n_inputs)).astype(np.float32),
            "w": rng.uniform(-6, 6, circuit.n_weights).astype(np.float32),
            "c": rng.normal(size=(8, len(windows))).astype(np.float32),
        }
        arrays |= {f"h{i}": m.numpy() for i, m in enumerate(m for h in readout for m in h)}

        def request(x: Any, w: Any) -> ExecutionRequest:
            return ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, readout=readout)

        return task, arrays, request

    @staticmethod
    def _judged(task: Task, arrays: Arrays) -> Arrays:
        """The judge takes windows of one size at a time; derivatives add up."""
        from attrs import evolve

        sizes = [len(w) for w in task.windows]
        total: Arrays = {"values": np.empty((task.rows, len(sizes))), "x": np.zeros(1), "w": np.zeros(1)}
        for size in sorted(set(sizes)):
            mine = [i for i, s in enumerate(sizes) if s == size]
            part = {**arrays, "c": arrays["c"][:, mine], "h": np.stack([arrays[f"h{i}"] for i in mine])}
            found = solve(evolve(task, windows=[task.windows[i] for i in mine]), part)
            total["values"][:, mine] = found["values"]
            for k in ("x", "w"):
                total[k] = total[k] + found[k]
        return total

    def facts(self) -> dict[str, Any]:
        """Shares of the layer and of the recording, with the writing of the group they would be part of."""
        return {} if self.layer is None else self.clock.facts(self.session.flush)

    def close(self) -> None:
        """End the run, remove its ledger."""
        self.session.close()
        self.folder.cleanup()


class Clock:
    """Where a step's time goes: in the layer, in the recording around the device."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._reset()

    def _reset(self) -> None:
        self.forward = self.backward = self.execute = self.device = self.step = 0.0

    def watch(self, session: Session, layer: QuantumLayer) -> None:
        """Put clocks around the layer, `Session.execute`, the device's `run` and `Session.step`."""
        self._around(session, "execute", "execute")
        self._around(session.backend(), "run", "device")
        self._around(session, "step", "step")
        forward = layer.forward

        def timed(batch: torch.Tensor) -> torch.Tensor:
            start = perf_counter()
            if batch.requires_grad:  # called when the derivative by the layer's input is complete
                batch.register_hook(lambda _: self._add("backward", perf_counter() - self._began))  # type: ignore[no-untyped-call]
            out: torch.Tensor = forward(batch)
            if out.requires_grad:
                out.register_hook(self._begin)  # type: ignore[no-untyped-call]
            self.forward += perf_counter() - start
            return out

        layer.forward = timed  # type: ignore[method-assign]

    def _begin(self, _: torch.Tensor) -> None:
        self._began = perf_counter()

    def _add(self, name: str, seconds: float) -> None:
        setattr(self, name, getattr(self, name) + seconds)

    def _around(self, owner: Any, method: str, name: str) -> None:
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self._add(name, perf_counter() - start)

        setattr(owner, method, timed)

    def finish(self, whole: float) -> None:
        """A step is over."""
        road = self.execute - self.device
        layer = self.forward - road + self.backward
        self.steps.append({"whole": whole, "layer": layer, "record": road + self.step})
        self._reset()

    def facts(self, flush: Any) -> dict[str, Any]:
        """Medians over the later half of the steps; the group is written now."""
        start = perf_counter()
        flush()
        writing = (perf_counter() - start) / len(self.steps)
        kept = self.steps[len(self.steps) // 2 :]
        whole, layer, record = (statistics.median(s[k] for s in kept) for k in ("whole", "layer", "record"))
        return {
            "layer_ms": 1e3 * layer,
            "record_ms": 1e3 * (record + writing),
            "layer_share": layer / whole,
            "record_share": (record + writing) / whole,
        }
