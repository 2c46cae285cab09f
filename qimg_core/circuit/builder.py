"""`CircuitBuilder`: the one mutable step on the way to a `Circuit` (imports ir, gates, errors)."""

from __future__ import annotations

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate, Parameter
from qimg_core.errors import ConfigurationError


class CircuitBuilder:
    """Collects gates, then `build` returns the immutable circuit.

    >>> b = CircuitBuilder(2)
    >>> theta = b.weight("theta")
    >>> circuit = b.ry(0, theta).cx(0, 1).build()
    >>> circuit.n_weights, len(circuit.gates)
    (1, 2)
    """

    def __init__(self, n_wires: int) -> None:
        if n_wires < 1:
            raise ConfigurationError(f"a circuit has one wire or more, got {n_wires}")
        self.n_wires = n_wires
        self._gates: list[Gate] = []
        self._parameters: dict[str, Parameter] = {}

    def input(self, name: str) -> Angle:
        """A new parameter that each row of a batch supplies; use the returned angle in gates."""
        return self._parameter(Parameter(name, "input"))

    def weight(self, name: str) -> Angle:
        """A new trainable parameter."""
        return self._parameter(Parameter(name, "weight"))

    def _parameter(self, parameter: Parameter) -> Angle:
        if parameter.name in self._parameters:
            raise ConfigurationError(f"there is a parameter named {parameter.name!r} already")
        self._parameters[parameter.name] = parameter
        return Angle(len(self._parameters) - 1)

    def gate(self, name: GateName | str, *wires: int, angles: tuple[Angle | float, ...] = ()) -> CircuitBuilder:
        """Append any gate; numbers stand for constant angles."""
        bound = tuple(a if isinstance(a, Angle) else Angle(offset=a) for a in angles)
        self._gates.append(Gate(GateName(name), wires, bound))
        return self

    def h(self, wire: int) -> CircuitBuilder:
        return self.gate(GateName.H, wire)

    def x(self, wire: int) -> CircuitBuilder:
        return self.gate(GateName.X, wire)

    def rx(self, wire: int, angle: Angle | float) -> CircuitBuilder:
        return self.gate(GateName.RX, wire, angles=(angle,))

    def ry(self, wire: int, angle: Angle | float) -> CircuitBuilder:
        return self.gate(GateName.RY, wire, angles=(angle,))

    def rz(self, wire: int, angle: Angle | float) -> CircuitBuilder:
        return self.gate(GateName.RZ, wire, angles=(angle,))

    def cx(self, control: int, target: int) -> CircuitBuilder:
        return self.gate(GateName.CX, control, target)

    def cz(self, a: int, b: int) -> CircuitBuilder:
        return self.gate(GateName.CZ, a, b)

    def extend(self, circuit: Circuit) -> CircuitBuilder:
        """Append a whole circuit as `Circuit.then` does."""
        joined = self.build().then(circuit)
        self._gates = list(joined.gates)
        self._parameters = {p.name: p for p in joined.parameters}
        return self

    def build(self) -> Circuit:
        """The circuit collected so far."""
        return Circuit(self.n_wires, tuple(self._gates), tuple(self._parameters.values()))
