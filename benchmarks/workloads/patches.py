"""W4: several small generators with weights of their own at once (imports benchmarks.workloads.base)."""

from __future__ import annotations

from benchmarks.task import Gate, Task
from benchmarks.workloads.base import BEST_PEER, COMPILED, Case, Target, Workload, paragraphs

WIRES, LAYERS, ROWS = 5, 6, 32
PEERS = (
    "qimg-simulator",
    COMPILED,
    "default.qubit torch",
    "default.qubit torch, one row a weight vector",
    "TensorCircuit-NG jax",
    "TorchQuantum-NG",
    "DeepQuantum",
    "qulacs",
    "lightning.qubit",
)
SLOW = ("default.qubit jax",)


def patch_circuit(wires: int = WIRES, layers: int = LAYERS) -> list[Gate]:
    """RY of the latent on every wire, then layers of RY on every wire and CZ on neighbours, as CX between H.

    The neutral gate set has ``cz``; it is written as such.
    """
    gates = [Gate("ry", (q,), (("x", q),)) for q in range(wires)]
    for layer in range(layers):
        gates += [Gate("ry", (q,), (("w", layer * wires + q),)) for q in range(wires)]
        gates += [Gate("cz", (q, q + 1)) for q in range(wires - 1)]
    return gates


def w4() -> Workload:
    """8 and 56 patch generators on 5 wires, batch 32, after Huang et al. 2021 (arXiv:2010.06201).

    Every generator has 30 weights of its own and sees the same 32 latents: RY encoding; 6 layers of RY on every
    wire and CZ on neighbours. The value is the distribution of wires 1 to 4 given that the ancilla, wire 0, reads 0
    (16 numbers). Ours runs all generators as one request with a weight vector for each 32 rows. PennyLane runs one
    broadcast call for each generator, as its own patch example does, and in a second row one call in which every
    row of the batch brings its weights.
    """
    cases = []
    for count in (8, 56):
        task = Task(
            name=f"W4 G={count}",
            wires=WIRES,
            rows=ROWS,
            layers=LAYERS,
            gates=patch_circuit(),
            reading="postselected",
            generators=count,
        )
        cases.append(Case(task=task, engines=PEERS, slow=SLOW))
    targets = (
        Target(metric="ratio", peer="default.qubit torch", must=100, goal=300),
        Target(metric="ratio", peer=BEST_PEER, must=1.8, goal=2.5, cases=("W4 G=8",)),
        Target(metric="ratio", peer=BEST_PEER, must=2.5, goal=4, cases=("W4 G=56",)),
        Target(metric="first_ms", must=200),
    )
    return Workload(
        name="W4", title="8 and 56 patch generators", about=paragraphs(w4.__doc__), cases=cases, targets=targets
    )
