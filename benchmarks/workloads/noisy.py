"""W7: a noisy circuit with its gradient (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Task
from benchmarks.workloads.base import Case, Target, Workload, paragraphs, turning_layer, upload

PEERS = (
    "qimg-simulator",
    "qimg-simulator, values only",
    "default.mixed torch",
    "default.mixed torch, values only",
    "Aer, values only",
)
P = 0.01


def w7() -> Workload:
    """4 wires and batch 32, 6 and 16, 8 and 4: a density matrix with depolarizing noise after every gate.

    RX encoding; 3 layers of RX, RY, RZ on every wire and a CX ring; after each gate, on each of its wires, one of
    X, Y, Z with probability 0.01 / 3 each; <Z> of every wire. Aer (density matrix, single precision) has no
    gradient, so it is compared with our values alone.
    """
    cases = []
    for n, rows in ((4, 32), (6, 16), (8, 4)):
        gates = upload(n) + [g for layer in range(3) for g in turning_layer(n, layer)]
        task = Task(name=f"W7 n={n} B={rows}", wires=n, rows=rows, layers=3, gates=gates, noise=P)
        cases.append(Case(task=task, engines=PEERS))
    forward = "qimg-simulator, values only"
    return Workload(
        name="W7",
        title="noisy, with gradient",
        about=paragraphs(w7.__doc__),
        cases=cases,
        targets=(
            Target(metric="ratio", peer="default.mixed torch", must=40, goal=100),
            Target(metric="ratio", peer="Aer, values only", ours=forward, must=10, goal=30),
        ),
    )
