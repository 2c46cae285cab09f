"""The circuit IR: gates whose angles are affine in one parameter each (imports errors, gates).

A circuit is a value: an immutable list of gates on ``n_wires`` wires, all ``|0>`` at the start, with
named parameters of two roles. *Inputs* change from row to row of a batch (data, latents, time);
*weights* are trained and usually shared by the rows. A fast engine needs to know which is which.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from attrs import evolve, field, frozen

from qimg_core.circuit.gates import IR_VERSION, GateName
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Role = Literal["input", "weight"]


def _wires(wires: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(w) for w in wires)


def _angles(angles: Iterable[Angle]) -> tuple[Angle, ...]:
    return tuple(angles)


def _gates(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    return tuple(gates)


def _parameters(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    return tuple(parameters)


@frozen
class Parameter:
    """A named real number that a request supplies."""

    name: str
    role: Role


@frozen
class Angle:
    """``scale * parameter + offset``; the constant ``offset`` when ``parameter`` is None.

    ``parameter`` is an index into `Circuit.parameters`. Radians in rotations; a plain amplitude in
    ``prepare``.
    """

    parameter: int | None = None
    scale: float = field(default=1.0, converter=float)
    offset: float = field(default=0.0, converter=float)

    def __attrs_post_init__(self) -> None:
        # equal angles have one form, so that equal circuits have one digest
        if self.parameter is None:
            object.__setattr__(self, "scale", 1.0)
        object.__setattr__(self, "offset", self.offset + 0.0)  # -0.0 becomes 0.0

    def __mul__(self, factor: float) -> Angle:
        return evolve(self, scale=self.scale * factor, offset=self.offset * factor)

    __rmul__ = __mul__

    def __add__(self, shift: float) -> Angle:
        return evolve(self, offset=self.offset + shift)

    def __neg__(self) -> Angle:
        return self * -1.0


@frozen
class Gate:
    """One operation on an ordered tuple of wires.

    Rotations take one angle. ``prepare`` on k wires takes the amplitudes of the state it makes from
    ``|0...0>``, first wire most significant: 2**k real ones, or 2 * 2**k (all real parts, then all
    imaginary parts). They must have norm 1; encoders normalise.
    """

    name: GateName = field(converter=GateName)
    wires: tuple[int, ...] = field(converter=_wires)
    angles: tuple[Angle, ...] = field(default=(), converter=_angles)

    def __attrs_post_init__(self) -> None:
        wanted = self.name.n_wires
        if (wanted is not None and len(self.wires) != wanted) or len(set(self.wires)) != len(self.wires):
            raise ConfigurationError(f"{self.name} takes {wanted or 'one or more'} distinct wires, got {self.wires}")
        if not self.wires or min(self.wires) < 0:
            raise ConfigurationError(f"{self.name} needs wires counted from 0, got {self.wires}")
        if self.name is GateName.PREPARE:
            size = 2 ** len(self.wires)
            if len(self.angles) not in (size, 2 * size):
                raise ConfigurationError(
                    f"prepare on {len(self.wires)} wires takes {size} real or {2 * size} real and imaginary "
                    f"amplitudes, got {len(self.angles)}"
                )
        elif len(self.angles) != self.name.n_angles:
            raise ConfigurationError(f"{self.name} takes {self.name.n_angles} angle(s), got {len(self.angles)}")

    @property
    def angle(self) -> Angle:
        """The one angle of a rotation."""
        return self.angles[0]


@frozen
class Circuit:
    """An immutable gate list with its parameters. Its identity is `digest`.

    Compose with `then`, move with `on`, write the inverse with `inverse`. There are no bit strings
    and no classical registers: what is measured, and in which order, belongs to the request.
    """

    n_wires: int
    gates: tuple[Gate, ...] = field(default=(), converter=_gates)
    parameters: tuple[Parameter, ...] = field(default=(), converter=_parameters)
    version: int = IR_VERSION

    def __attrs_post_init__(self) -> None:
        names = [p.name for p in self.parameters]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"parameter names must be unique, got {sorted(names)}")
        for gate in self.gates:
            if max(gate.wires) >= self.n_wires:
                raise ConfigurationError(f"{gate.name} on {gate.wires} does not fit {self.n_wires} wires")
            for angle in gate.angles:
                if angle.parameter is not None and not 0 <= angle.parameter < len(names):
                    raise ConfigurationError(f"{gate.name} names parameter {angle.parameter} of {len(names)}")

    @cached_property
    def input_indices(self) -> tuple[int, ...]:
        """Positions in `parameters` of the inputs, in order: column k of ``inputs`` is the k-th."""
        return tuple(i for i, p in enumerate(self.parameters) if p.role == "input")

    @cached_property
    def weight_indices(self) -> tuple[int, ...]:
        """Positions in `parameters` of the weights, in order."""
        return tuple(i for i, p in enumerate(self.parameters) if p.role == "weight")

    @property
    def n_inputs(self) -> int:
        return len(self.input_indices)

    @property
    def n_weights(self) -> int:
        return len(self.weight_indices)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` of the canonical bytes: the same on every machine."""
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """RFC 8785 JSON without floats: a real number is its shortest round-trip decimal string."""
        return json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()

    def to_json(self) -> dict[str, object]:
        """A document that `from_json` reads back; equal circuits give equal documents."""
        return {
            "ir": self.version,
            "wires": self.n_wires,
            "parameters": [[p.name, p.role] for p in self.parameters],
            "gates": [
                [g.name.value, list(g.wires), [[a.parameter, repr(a.scale), repr(a.offset)] for a in g.angles]]
                for g in self.gates
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Circuit:
        """Read `to_json` back.

        Raises:
            ConfigurationError: another IR version, or not a circuit document.
        """
        if document.get("ir") != IR_VERSION:
            raise ConfigurationError(f"wanted circuit IR version {IR_VERSION}, got {document.get('ir')!r}")
        try:
            gates = tuple(
                Gate(name, wires, tuple(Angle(p, float(s), float(o)) for p, s, o in angles))
                for name, wires, angles in document["gates"]  # type: ignore[attr-defined]
            )
            parameters = tuple(Parameter(n, r) for n, r in document["parameters"])  # type: ignore[attr-defined]
            return cls(int(document["wires"]), gates, parameters)  # type: ignore[call-overload]
        except (KeyError, TypeError, ValueError) as cause:
            raise ConfigurationError(f"not a circuit document: {cause}") from cause

    def then(self, other: Circuit, *, tie: Iterable[str] = ()) -> Circuit:
        """This circuit followed by ``other``.

        Inputs of the same name are the same input. Weights are never tied unless named in ``tie``:
        a weight whose name is taken gets the next free ``name'n``.
        """
        if other.n_wires != self.n_wires:
            raise ConfigurationError(f"cannot join circuits on {self.n_wires} and {other.n_wires} wires; use on()")
        tied = set(tie)
        parameters = list(self.parameters)
        where = {p.name: i for i, p in enumerate(parameters)}
        remap: list[int] = []
        for p in other.parameters:
            at = where.get(p.name)
            if at is not None and parameters[at].role != p.role:
                raise ConfigurationError(f"{p.name!r} is an {parameters[at].role} in one circuit and not in the other")
            if at is None or (p.role == "weight" and p.name not in tied):
                name = p.name
                count = 1
                while name in where:
                    name, count = f"{p.name}'{count}", count + 1
                at = where[name] = len(parameters)
                parameters.append(Parameter(name, p.role))
            remap.append(at)
        return Circuit(self.n_wires, self.gates + tuple(_moved(other.gates, remap)), tuple(parameters))

    def on(self, wires: Iterable[int], n_wires: int) -> Circuit:
        """The same circuit on the given wires of a larger register: wire k moves to ``wires[k]``."""
        to = tuple(wires)
        if len(to) != self.n_wires or len(set(to)) != len(to):
            raise ConfigurationError(f"wanted {self.n_wires} distinct wires, got {to}")
        gates = tuple(evolve(g, wires=tuple(to[w] for w in g.wires)) for g in self.gates)
        return Circuit(n_wires, gates, self.parameters)

    def renamed(self, prefix: str, *, roles: Iterable[Role] = ("weight",)) -> Circuit:
        """The same circuit with a prefix on its parameter names (of the given roles)."""
        chosen = set(roles)
        parameters = tuple(Parameter(prefix + p.name, p.role) if p.role in chosen else p for p in self.parameters)
        return evolve(self, parameters=parameters)

    def inverse(self) -> Circuit:
        """The inverse unitary, phase included, with the same parameters.

        Raises:
            ConfigurationError: the circuit prepares, measures or resets.
        """
        return evolve(self, gates=tuple(gate for g in reversed(self.gates) for gate in _inverse(g)))

    def occurrences(self) -> Iterator[tuple[int, Gate]]:
        """(position, gate) of every gate that depends on a parameter, in order."""
        return ((i, g) for i, g in enumerate(self.gates) if any(a.parameter is not None for a in g.angles))

    def values(self, inputs: FloatArray, weights: FloatArray) -> FloatArray:
        """Columns in the order of `parameters`, shape (rows, len(parameters)), from numpy arrays.

        Args:
            inputs: (rows, n_inputs).
            weights: (n_weights,) shared by the rows, or (rows, n_weights).
        """
        import numpy as np

        rows = inputs.shape[0]
        out = np.empty((rows, len(self.parameters)))
        out[:, list(self.input_indices)] = inputs
        out[:, list(self.weight_indices)] = weights
        return out

    def _repr_svg_(self) -> str:
        from qimg_core.circuit.draw import svg

        return svg(self)


_INVERSE = {
    GateName.S: GateName.SDG,
    GateName.SDG: GateName.S,
    GateName.T: GateName.TDG,
    GateName.TDG: GateName.T,
}


def _inverse(gate: Gate) -> tuple[Gate, ...]:
    if gate.name in (GateName.PREPARE, GateName.MEASURE, GateName.RESET):
        raise ConfigurationError(f"{gate.name} has no inverse gate")
    if gate.name is GateName.SX:  # with its phase, which matters under a control
        return tuple(Gate(name, gate.wires) for name in (GateName.H, GateName.SDG, GateName.H))
    return (Gate(_INVERSE.get(gate.name, gate.name), gate.wires, tuple(-a for a in gate.angles)),)


def _moved(gates: Iterable[Gate], remap: list[int]) -> Iterator[Gate]:
    for gate in gates:
        if any(a.parameter is not None for a in gate.angles):
            angles = tuple(a if a.parameter is None else evolve(a, parameter=remap[a.parameter]) for a in gate.angles)
            gate = evolve(gate, angles=angles)
        yield gate
