"""`Engine`: the adapter of one engine, and read-outs that several share (imports numpy, benchmarks.task)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.reference import window_order, z_signs

if TYPE_CHECKING:
    from benchmarks.task import Arrays, Task

Step = Callable[[], "Arrays"]


class Engine(ABC):
    """Runs tasks. Made in the worker; its module may import the engine's package at the top.

    Args:
        values_only: no derivatives.
    """

    packages: tuple[str, ...] = ()

    def __init__(self, *, values_only: bool = False) -> None:
        self.values_only = values_only

    def start(self) -> None:
        """What belongs to starting the process rather than to a first call: threads, the library's own warm-up."""

    def refuses(self, task: Task) -> str | None:
        """Why it cannot run the task, or None."""
        return None

    @abstractmethod
    def prepare(self, task: Task, arrays: Arrays) -> Step:
        """Everything that is done once; the step gives numpy arrays ``values``, ``x``, ``w`` and ``h``."""

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        """Turn what a step of shots gave into int (rows, 2**wires); not timed."""
        return raw

    def check(self) -> dict[str, Any] | None:
        """Its own verdict (error, reason) where there is no task that the judge could run; else None."""
        return None

    def facts(self) -> dict[str, Any]:
        """More figures for the engine's row, after timing."""
        return {}

    def close(self) -> None:
        """Let go of files."""

    def versions(self) -> dict[str, str]:
        """Of `packages` that are installed."""
        out = {}
        for name in self.packages:
            try:
                out[name] = version(name)
            except PackageNotFoundError:
                continue
        return out


class TorchEngine(Engine):
    """An engine that computes inside a torch graph."""

    def start(self) -> None:
        import torch

        torch.set_num_threads(1)
        a = torch.ones(4, 4, requires_grad=True)
        (a @ a).sum().backward()  # type: ignore[no-untyped-call]

    def step(self, task: Task, arrays: Arrays, run: Callable[[Any, Any, Any], Any]) -> Step:
        """The step of a function (x, w, h) -> values of torch tensors."""
        import torch

        c = torch.tensor(arrays["c"])
        names = ("x", "w", "h") if "h" in arrays else ("x", "w")

        def values_only() -> Arrays:
            with torch.no_grad():
                return {"values": run(*(torch.tensor(arrays[k]) for k in names), *[None] * (3 - len(names))).numpy()}

        def whole() -> Arrays:
            leaves: list[Any] = [torch.tensor(arrays[k], requires_grad=True) for k in names]
            values = run(*leaves, *[None] * (3 - len(names)))
            (values * c).sum().backward()
            grads = {k: leaf.grad.numpy() for k, leaf in zip(names, leaves, strict=True)}
            return {"values": values.detach().numpy(), **grads}

        return values_only if self.values_only else whole


class TorchReadout:
    """Reads a task's values from amplitudes (rows, 2**n): what users of an engine without the measurement write."""

    def __init__(self, task: Task) -> None:
        import torch

        self.task = task
        n = task.wires
        self.signs = torch.tensor(z_signs(n).T.copy(), dtype=torch.float32)
        if task.windows:
            self.orders = torch.tensor(np.concatenate([window_order(w, n) for w in task.windows]))

    def __call__(self, psi: Any, h: Any) -> Any:
        import torch

        t = self.task
        if t.reading == "windows":
            count, size = len(h), h.shape[-1]
            v = psi.index_select(1, self.orders).view(len(psi), count, size, -1)
            hv = torch.einsum("kij,bkjr->bkir", h, v)
            return (v.conj() * hv).real.sum((2, 3))
        p = psi.abs().square()
        if t.reading == "z":
            return p @ self.signs
        if t.reading == "postselected":
            p = p[:, : 2 ** (t.wires - 1)]
            return p / p.sum(1, keepdim=True)
        return p


def by_row(task: Task, x: Any, w: Any) -> tuple[Any, Any]:
    """Inputs and weights of every (generator, row) pair, torch tensors: (G * B, n_inputs), (G * B, n_weights)."""
    return x.repeat(task.generators, 1), w.repeat_interleave(task.rows, 0)


def bits_to_counts(samples: Any, wires: int) -> Any:
    """Bits (rows, shots, wires) -> int (rows, 2**wires)."""
    index = (np.asarray(samples).astype(np.int64) << np.arange(wires)[::-1]).sum(-1)
    return np.stack([np.bincount(row, minlength=2**wires) for row in index])
