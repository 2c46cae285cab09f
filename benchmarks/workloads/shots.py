"""W8: finite shots of many circuits (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Task
from benchmarks.workloads.base import COMPILED, Case, Target, Workload, entangling_layer, paragraphs, upload

PEERS = (
    "qimg-simulator",
    COMPILED,
    "default.qubit torch",
    "TensorCircuit-NG jax",
    "lightning.qubit",
    "qulacs",
    "Aer",
)


def w8() -> Workload:
    """8 wires, 128 rows of inputs, 1024 shots each: RX encoding, 4 strongly entangling layers, all wires read.

    No gradient. Every engine gives its outcomes in its own form: counts, or one outcome for each shot.
    """
    gates = upload(8) + [g for layer in range(4) for g in entangling_layer(8, layer)]
    task = Task(name="W8", wires=8, rows=128, layers=4, gates=gates, reading="counts", shots=1024)
    return Workload(
        name="W8",
        title="1024 shots of 128 circuits",
        about=paragraphs(w8.__doc__),
        cases=(Case(task=task, engines=PEERS),),
        targets=(
            Target(metric="ratio", peer="default.qubit torch", must=8, goal=13),
            Target(metric="ratio", peer="qulacs", must=5, goal=9),
        ),
    )
