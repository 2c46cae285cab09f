"""What one core of this machine can do: arithmetic, copying, calling (imports torch).

`python -m benchmarks.ceilings` prints a JSON document. Each figure is the best of several trials: a ceiling.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.task import Task

FLOPS_STEP, FLOPS_VALUES = 58, 14
"""Per amplitude and wire of a layer: a complex 2x2 matrix is 14; backwards it is applied to the state and to the
cotangent, and its derivative takes 16."""
FLOPS_NOISY_STEP, FLOPS_NOISY_VALUES = 22, 7
"""Per entry of a real Pauli vector:

a real 4x4 matrix is 7; backwards it is applied to the cotangent, its derivative takes 8.
"""
BLOCK = 5
"""Wires that one pass over the state can take in."""


def best(trial: Callable[[], object], work: float, *, seconds: float = 0.4) -> float:
    """Largest work per second of five or more trials, after one for warming up.

    Trials are kept to milliseconds: on a busy machine some of them then run undisturbed.
    """
    trial()
    fastest, trials, end = float("inf"), 0, perf_counter() + seconds
    while trials < 5 or perf_counter() < end:
        start = perf_counter()
        trial()
        fastest = min(fastest, perf_counter() - start)
        trials += 1
    return work / fastest


def product(rows: int, inner: int, columns: int, dtype: Any) -> Callable[[], object]:
    """A matrix product into memory that is there."""
    import torch

    a, b = torch.rand(rows, inner, dtype=dtype), torch.rand(inner, columns, dtype=dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return lambda: torch.mm(a, b, out=out)


def copying(size: int, repeat: int) -> Callable[[], object]:
    """Copies of so many bytes into memory that is there."""
    import torch

    source = torch.zeros(size, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return lambda: [target.copy_(source) for _ in range(repeat)]


def measured(*, scale: int = 1, seconds: float = 0.4) -> dict[str, float]:
    """GF/s, GB/s (bytes read and written) and microseconds.

    Args:
        scale: divides the sizes, for tests.
        seconds: for each figure.
    """
    import torch

    torch.set_num_threads(1)
    n = 512 // scale
    out = {"sgemm_gflops": best(product(n, n, n, torch.float32), 2 * n**3, seconds=seconds) / 1e9}
    for k in (4, 8, 16, 32):
        columns = (1 << 16) // k // scale
        trial = product(k, k, columns, torch.complex64)
        out[f"cgemm{k}_gflops"] = best(trial, 8 * k * k * columns, seconds=seconds) / 1e9
    # a working set of 256 kB is a source and a target of 128 kB, of which every byte is read or written
    for name, size in (("copy_256kB_gbs", 1 << 17), ("copy_8MB_gbs", 1 << 22), ("copy_256MB_gbs", 1 << 27)):
        repeat = max(1, (1 << 22) // size)
        out[name] = best(copying(size // scale, repeat), 2 * (size // scale) * repeat, seconds=seconds) / 1e9
    fresh = torch.zeros((1 << 27) // scale, dtype=torch.uint8)
    out["copy_fresh_256MB_gbs"] = best(fresh.clone, 2 * len(fresh), seconds=seconds) / 1e9
    tiny = torch.ones(4)
    out["eager_op_us"] = 1e6 / best(lambda: [torch.neg(tiny) for _ in range(100)], 100, seconds=seconds)
    leaf = torch.ones(4, requires_grad=True)

    def there_and_back() -> None:
        for _ in range(10):
            torch.neg(leaf).sum().backward()  # type: ignore[no-untyped-call]

    out["op_with_backward_us"] = 1e6 / best(there_and_back, 20, seconds=seconds)
    return out


def limits(task: Task, ceilings: dict[str, float], *, values_only: bool = False) -> dict[str, float]:
    """The least time that the work of a task takes on one core.

    Counted: a 2x2 matrix on every wire of every layer, forwards, and backwards with its derivative; the state read and
    written once for every block of five wires. Entanglers, encoding and read-out are not counted.

    Returns:
        flops, bytes, limit_ms: the larger of the two times.
    """
    real = task.noise is not None
    entries = (4 if real else 2) ** task.wires * task.rows * task.generators
    step, values = (FLOPS_NOISY_STEP, FLOPS_NOISY_VALUES) if real else (FLOPS_STEP, FLOPS_VALUES)
    forward = values_only or task.shots is not None
    flops = float(entries * task.wires * task.layers * (values if forward else step))
    state = entries * (4 if real else 8)
    passes = task.layers * -(-task.wires // BLOCK)
    moved = float(state * passes * (2 if forward else 6))
    speed = ceilings["copy_256kB_gbs" if state <= 1 << 18 else "copy_8MB_gbs" if state <= 1 << 23 else "copy_256MB_gbs"]
    seconds = max(flops / (1e9 * ceilings["sgemm_gflops"]), moved / (1e9 * speed))
    return {"flops": flops, "bytes": moved, "limit_ms": 1e3 * seconds}


def main() -> None:
    """On the core that is named, if one is."""
    if len(sys.argv) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    print(json.dumps(measured()))


if __name__ == "__main__":
    main()
