"""W6: one row on many wires (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Task
from benchmarks.workloads.base import Case, Target, Workload, entangling_layer, paragraphs, upload

SIZES = (14, 16, 18, 20)
PEERS = ("qimg-simulator", "lightning.qubit", "qulacs")
SMALL_ONLY = ("default.qubit torch", "TorchQuantum-NG", "DeepQuantum")
SLOW = ("TensorCircuit-NG jax",)


def w6() -> Workload:
    """14, 16, 18 and 20 wires, batch 1: RX encoding, 4 strongly entangling layers, <Z> of every wire.

    The step is one vector-Jacobian product. lightning runs in complex64 with adjoint differentiation and
    ``device_vjp``. Engines that keep every state for the backward pass are asked for 14 wires only. Angles are
    within 0.5, so that values and derivatives are not all near 0, where a comparison would say nothing.
    """
    cases = []
    for n in SIZES:
        gates = upload(n) + [g for layer in range(4) for g in entangling_layer(n, layer)]
        task = Task(name=f"W6 n={n}", wires=n, rows=1, layers=4, gates=gates, spread=0.5)
        small = n == SIZES[0]
        cases.append(Case(task=task, engines=PEERS + (SMALL_ONLY if small else ()), slow=SLOW if small else ()))
    return Workload(
        name="W6",
        title="14 to 20 wires, batch 1",
        about=paragraphs(w6.__doc__),
        cases=cases,
        targets=(
            Target(metric="ratio", peer="lightning.qubit", must=2.5, goal=5),
            Target(metric="memory", peer="lightning.qubit", must=4, goal=2, cases=("W6 n=20",)),
        ),
    )
