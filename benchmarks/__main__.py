"""`make bench`: each workload on our engine and on PennyLane's default.qubit, interleaved, one thread.

Values and gradients are compared before anything is timed. A step is: fresh leaf tensors, forward,
backward to weights and inputs. Writes ``out/bench/NAME.json`` with rows of engine, median_ms, low, high.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Session, __version__
from qimg_core.capabilities import GradientMethod
from qimg_core.circuit import each

if TYPE_CHECKING:
    from collections.abc import Callable

WORKLOADS = {"W1": (4, 256, 2), "W2": (8, 128, 4)}
"""Wires, batch, layers of: RX encoding, then Rot on each wire and a ring of CX per layer, <Z> of each wire."""


def ours(n: int, layers: int, session: Session) -> Callable[[Any, Any], Any]:
    """Our engine through the session, with its record."""
    b = CircuitBuilder(n)
    for q in range(n):
        b.rx(q, b.input(f"x{q}"))
    for layer in range(layers):
        for q in range(n):
            for name, turn in zip("abc", ("rz", "ry", "rz"), strict=True):
                b.gate(turn, q, angles=(b.weight(f"{name}{layer}_{q}"),))
        for q in range(n):
            b.cx(q, (q + 1) % n)
    circuit, measurement = b.build(), Expectation(each("Z", range(n)))

    def run(x: Any, w: Any) -> Any:
        request = ExecutionRequest(circuit=circuit, inputs=x, weights=w.reshape(-1), measurement=measurement)
        return session.execute(request, gradient=GradientMethod.BACKPROP).data

    return run


def pennylane(n: int, layers: int) -> Callable[[Any, Any], Any]:
    """The peer: default.qubit with the torch interface, parameter broadcasting, backprop."""
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch", diff_method="backprop")
    def circuit(x: Any, w: Any) -> Any:
        for q in range(n):
            qml.RX(x[:, q], wires=q)
        for layer in range(layers):
            for q in range(n):
                qml.Rot(w[layer, q, 0], w[layer, q, 1], w[layer, q, 2], wires=q)
            for q in range(n):
                qml.CNOT(wires=[q, (q + 1) % n])
        return [qml.expval(qml.PauliZ(q)) for q in range(n)]

    return lambda x, w: torch.stack(list(circuit(x, w)), dim=1)


def step(run: Callable[[Any, Any], Any], x: Any, w: Any, c: Any) -> tuple[Any, Any, Any]:
    """One forward and backward with fresh leaves."""
    x, w = x.clone().requires_grad_(True), w.clone().requires_grad_(True)
    out = run(x, w)
    (out * c).sum().backward()
    return out.detach(), x.grad, w.grad


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Check, then time the engines in turn."""
    n, batch, layers = WORKLOADS[name]
    rng = np.random.default_rng(1)
    x = torch.tensor(rng.uniform(-6, 6, (batch, n)), dtype=torch.float32)
    w = torch.tensor(rng.uniform(-6, 6, (layers, n, 3)), dtype=torch.float32)
    c = torch.tensor(rng.normal(size=(batch, n)), dtype=torch.float32)
    with Session(None, seed=1, profile="full") as session:
        engines = {"qimg-simulator": ours(n, layers, session), "default.qubit (torch)": pennylane(n, layers)}
        results = {k: step(run, x, w, c) for k, run in engines.items()}
        first, second = results.values()
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b.to(a.dtype), atol=2e-3, rtol=1e-3)
        times: dict[str, list[float]] = {k: [] for k in engines}
        for _ in range(rounds):
            for k, run in engines.items():
                start = time.perf_counter()
                step(run, x, w, c)
                times[k].append(1e3 * (time.perf_counter() - start))
    rows = [{"engine": k, "median_ms": statistics.median(v), "low": min(v), "high": max(v)} for k, v in times.items()]
    ratio = rows[1]["median_ms"] / rows[0]["median_ms"]
    return {
        "workload": name,
        "wires": n,
        "batch": batch,
        "layers": layers,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"qimg-core": __version__, "torch": torch.__version__},
        "rows": rows,
        "peer_over_ours": ratio,
    }


def main() -> None:
    """Run the chosen workloads, print a line each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path("out/bench")
    folder.mkdir(parents=True, exist_ok=True)
    for name in [args.only] if args.only else sorted(WORKLOADS):
        result = measure(name, args.rounds)
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1))
        engines = ", ".join(f"{r['engine']} {r['median_ms']:.2f} ms" for r in result["rows"])
        print(f"{name}: {engines}; ratio {result['peer_over_ours']:.1f}")


if __name__ == "__main__":
    main()
