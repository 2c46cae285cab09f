"""The circuits of the released model, gate for gate, from the standard pieces (imports qimg_core, qimg_circuits).

Source: ``implementation/source/src/models/ansatzes.py`` of the authors' repository at commit d4b58c5
(``ConvUnit``, ``PhaseMixing``, ``PennyLanePQC``). A layer on n wires is the three-weight block N(a, b, c)
on the pairs (0,1), (2,3), ..., then (1,2), ..., (n-1,0), then Hadamards, a CZ chain and one RX a wire.
The released code names the block's weights in the order c, a, b; here it is a, b, c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from qimg_circuits.ansatzes.cluster_mixing import ClusterMixing
from qimg_circuits.ansatzes.hadamard_test import hadamard_test
from qimg_circuits.ansatzes.two_qubit import canonical_block
from qimg_circuits.encoders.amplitude import AmplitudeEncoder
from qimg_core.circuit.compose import repeat, tile
from qimg_core.circuit.gates import GateName

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit


def ring_pairs(n: int) -> tuple[tuple[int, int], ...]:
    """Where the block goes on n wires: even pairs, then odd pairs closing the ring."""
    return tuple((i, (i + 1) % n) for i in (*range(0, n - 1, 2), *range(1, n, 2)))


def block(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """``reps`` layers with weights of their own: 4 n each on an even number of wires.

    Args:
        n: wires.
        reps: layers.
        entangling: False leaves out every two-qubit gate and keeps all weights.
    """
    layer = tile(canonical_block(), ring_pairs(n), n).then(ClusterMixing(n).layer(0))
    circuit = repeat(layer, reps)
    if entangling:
        return circuit
    return evolve(circuit, gates=tuple(g for g in circuit.gates if g.name not in (GateName.CX, GateName.CZ)))


def front(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """Blocks one and two on n + 1 wires: amplitude encoding, U1, and the Hadamard test of U2.

    The last wire is the ancilla; its <Z> is Re <psi|U2|psi> for psi = U1 x. The weights of U1 come
    first. Without entangling gates U2 acts without its control, and <Z> is 1.
    """
    wires = range(n)
    one = AmplitudeEncoder(2**n).circuit.then(block(n, reps, entangling=entangling).renamed("one."))
    two = block(n, reps, entangling=entangling).renamed("two.")
    test = hadamard_test(two)[0] if entangling else two.on(wires, n + 1)
    return one.on(wires, n + 1).then(test)


def back(n: int, reps: int, *, entangling: bool = True) -> Circuit:
    """Block three: a complex state prepared anew (real parts, then imaginary parts), and U3."""
    three = block(n, reps, entangling=entangling).renamed("three.")
    return AmplitudeEncoder(2**n, complex_input=True).circuit.then(three)
