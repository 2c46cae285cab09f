"""W1, W2, W3 and RU: layers of one-wire rotations and CX rings on a batch (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Gate, Task
from benchmarks.workloads.base import (
    BEST_PEER,
    COMPILED,
    Case,
    Target,
    Workload,
    entangling_layer,
    paragraphs,
    turning_layer,
    upload,
)

PEERS = (
    "qimg-simulator",
    COMPILED,
    "default.qubit torch",
    "TensorCircuit-NG jax",
    "TorchQuantum-NG",
    "DeepQuantum",
    "qulacs",
)
SLOW = ("default.qubit jax", "lightning.qubit")
"""One compiles for a minute or more, the other takes seconds a step: asked in W1 and W2, elsewhere with ``--all``."""
FIRST = Target(metric="first_ms", must=200)


def _ratios(
    default: tuple[float, float], best: tuple[float, float], compiled: tuple[float, float]
) -> tuple[Target, ...]:
    return (
        Target(metric="ratio", peer="default.qubit torch", must=default[0], goal=default[1]),
        Target(metric="ratio", peer=BEST_PEER, must=best[0], goal=best[1]),
        Target(metric="ratio", peer=BEST_PEER, ours=COMPILED, must=compiled[0], goal=compiled[1]),
        FIRST,
    )


def w1() -> Workload:
    """4 wires, batch 256: RX encoding; 3 layers of RX, RY, RZ on every wire and a CX ring; <Z> of every wire.

    The size of the circuits in most published hybrid models. An engine spends it on calling, not on computing.
    """
    gates = upload(4) + [g for layer in range(3) for g in turning_layer(4, layer)]
    task = Task(name="W1", wires=4, rows=256, layers=3, gates=gates)
    cases = (Case(task=task, engines=PEERS + SLOW),)
    return Workload(
        name="W1",
        title="4 wires, batch 256",
        about=paragraphs(w1.__doc__),
        cases=cases,
        targets=_ratios((10, 16), (0.9, 1.2), (3, 5)),
    )


def w2() -> Workload:
    """8 wires, batch 128: RX encoding; 4 strongly entangling layers; <Z> of every wire.

    A layer is RZ, RY, RZ on every wire and a ring of CX, of range 1, 2, 3, 4.
    """
    gates = upload(8) + [g for layer in range(4) for g in entangling_layer(8, layer)]
    task = Task(name="W2", wires=8, rows=128, layers=4, gates=gates)
    cases = (Case(task=task, engines=PEERS + SLOW),)
    return Workload(
        name="W2",
        title="8 wires, batch 128",
        about=paragraphs(w2.__doc__),
        cases=cases,
        targets=_ratios((12, 20), (2.5, 4), (10, 16)),
    )


def w3() -> Workload:
    """10 wires, batch 64: 1024 inputs are the amplitudes; 4 strongly entangling layers; <Z> of every wire.

    The inputs are normalised in the step, and their derivative goes through that.
    """
    gates = [g for layer in range(4) for g in entangling_layer(10, layer)]
    task = Task(name="W3", wires=10, rows=64, layers=4, gates=gates, amplitudes=True)
    cases = (Case(task=task, engines=PEERS, slow=SLOW),)
    return Workload(
        name="W3",
        title="10 wires, amplitude encoding, batch 64",
        about=paragraphs(w3.__doc__),
        cases=cases,
        targets=_ratios((7, 10), (2, 3), (5, 8)),
    )


def ru() -> Workload:
    """8 wires, batch 128: four times RX of the same 8 inputs and a strongly entangling layer; <Z> of every wire.

    Data re-uploading, as our own generators do it.
    """
    gates: list[Gate] = []
    for layer in range(4):
        gates += upload(8) + entangling_layer(8, layer)
    task = Task(name="RU", wires=8, rows=128, layers=4, gates=gates)
    cases = (Case(task=task, engines=PEERS, slow=SLOW),)
    return Workload(name="RU", title="re-uploading, 8 wires, batch 128", about=paragraphs(ru.__doc__), cases=cases)
