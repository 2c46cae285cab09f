"""The Hadamard test: an ancilla reads Re<psi|U|psi> (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.ansatz import Ansatz
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.circuit.compose import controlled
from qimg_core.circuit.resources import Resources, resources
from qimg_core.measurement import Expectation

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit
    from qimg_core.execution import FloatArray


def hadamard_test(unitary: Circuit, *, imaginary: bool = False) -> tuple[Circuit, Expectation]:
    """H, controlled U, H on one more wire, the last; <Z> of that wire is Re<psi|U|psi>.

    |psi> is what wires 0 to n - 1 hold before: put an encoder there first, moved to the larger
    register with ``encoder.circuit.on(range(n), n + 1).then(test)``.

    Args:
        unitary: U on n wires, of unitary gates.
        imaginary: read Im<psi|U|psi> instead, by S^dag after the first H.

    Returns:
        The circuit on n + 1 wires, and the measurement of Z on wire n.

    Raises:
        ConfigurationError: U prepares, measures or resets.
    """
    n = unitary.n_wires
    before = CircuitBuilder(n + 1).h(n)
    if imaginary:
        before.gate("sdg", n)
    after = CircuitBuilder(n + 1).h(n)
    circuit = before.build().then(controlled(unitary, n + 1, n, range(n))).then(after.build())
    return circuit, Expectation(each("Z", (n,)))


@frozen
class HadamardTest(Ansatz):
    """`hadamard_test` of an ansatz, with that ansatz's weights and start.

    Args:
        of: the ansatz that makes U.
        imaginary: read the imaginary part.
    """

    of: Ansatz
    imaginary: bool = False

    @property
    def circuit(self) -> Circuit:
        """On one wire more than the ansatz; the ancilla is the last."""
        return hadamard_test(self.of.circuit, imaginary=self.imaginary)[0]

    @property
    def measurement(self) -> Expectation:
        """Z of the ancilla."""
        return hadamard_test(self.of.circuit, imaginary=self.imaginary)[1]

    def initial(self, seed: int) -> FloatArray:
        """The ansatz's own."""
        return self.of.initial(seed)

    def resources(self) -> Resources:
        """Wires, depth, two-qubit gates of the whole test."""
        return resources(self.circuit)
