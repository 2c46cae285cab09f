"""R2: parameterised two-wire gates without any layer structure (imports numpy, benchmarks.workloads.base)."""

from __future__ import annotations

import numpy as np

from benchmarks.task import Gate, Source, Task
from benchmarks.workloads.base import COMPILED, Case, Workload, paragraphs, upload

TURNS = ("rx", "ry", "rz")
PAIRS = ("rxx", "ryy", "rzz", "crx", "cry", "crz")
BATCH_PEERS = (
    "qimg-simulator",
    COMPILED,
    "default.qubit torch",
    "TensorCircuit-NG jax",
    "TorchQuantum-NG",
    "DeepQuantum",
    "qulacs",
)
SLOW = ("default.qubit jax", "lightning.qubit")
SINGLE_PEERS = ("qimg-simulator", "lightning.qubit", "qulacs", "default.qubit torch")


def scattered(wires: int, gates: int, seed: int) -> list[Gate]:
    """RX encoding, then gates drawn one by one: three of four on two random wires, one of eight by an input."""
    rng = np.random.Generator(np.random.PCG64(seed))
    out = upload(wires)
    weights = 0
    for _ in range(gates):
        two = rng.random() < 0.75
        names = PAIRS if two else TURNS
        name = names[rng.integers(len(names))]
        where = tuple(int(q) for q in rng.permutation(wires)[: 2 if two else 1])
        source: Source
        if rng.random() < 0.125:
            source = ("x", int(rng.integers(wires)))
        else:
            source, weights = ("w", weights), weights + 1
        out.append(Gate(name, where, (source,)))
    return out


def r2() -> Workload:
    """Random circuits of parameterised gates: 8 wires and batch 128 with 64 gates, 14 wires and batch 1 with 112 gates.

    RX encoding, then gates drawn one by one: with probability 3/4 one of RXX, RYY, RZZ, CRX, CRY, CRZ on two random
    wires, else RX, RY or RZ; one in eight is turned by an input, the others by weights of their own. <Z> of every
    wire. Nothing repeats and little can be fused. qulacs has no derivative of a controlled rotation: there it is
    written as two Pauli rotations.
    """
    big = Task(name="R2 n=8 B=128", wires=8, rows=128, layers=8, gates=scattered(8, 64, 1))
    long = Task(name="R2 n=14 B=1", wires=14, rows=1, layers=8, gates=scattered(14, 112, 2), spread=1.0)
    cases = (Case(task=big, engines=BATCH_PEERS, slow=SLOW), Case(task=long, engines=SINGLE_PEERS))
    return Workload(name="R2", title="random parameterised two-wire gates", about=paragraphs(r2.__doc__), cases=cases)
