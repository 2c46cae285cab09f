"""W5: adaptive non-local observables (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Task
from benchmarks.workloads.base import BEST_PEER, COMPILED, Case, Target, Workload, entangling_layer, paragraphs, upload

PEERS = (
    "qimg-simulator",
    COMPILED,
    "default.qubit torch",
    "TensorCircuit-NG jax",
    "TorchQuantum-NG",
    "DeepQuantum",
    "qulacs",
    "lightning.qubit",
)
SLOW = ("default.qubit jax",)


def w5() -> Workload:
    """8 wires, batch 128: RX encoding, 2 strongly entangling layers, and 8 trained Hermitian 16x16 matrices.

    Adaptive non-local observables (arXiv:2504.13414): one matrix on each of the 8 windows of 4 neighbouring wires,
    around the ring. Derivatives are taken by inputs, weights and matrices. TensorCircuit, TorchQuantum and
    DeepQuantum give the state, and the same few lines read the windows from it.
    """
    n, k = 8, 4
    gates = upload(n) + [g for layer in range(2) for g in entangling_layer(n, layer)]
    windows = [tuple((start + j) % n for j in range(k)) for start in range(n)]
    task = Task(name="W5", wires=n, rows=128, layers=2, gates=gates, reading="windows", windows=windows)
    return Workload(
        name="W5",
        title="windows of adaptive non-local observables",
        about=paragraphs(w5.__doc__),
        cases=(Case(task=task, engines=PEERS, slow=SLOW),),
        targets=(
            Target(metric="ratio", peer="default.qubit torch", must=6, goal=10),
            Target(metric="ratio", peer=BEST_PEER, must=1.7, goal=2.5),
            Target(metric="first_ms", must=200),
        ),
    )
