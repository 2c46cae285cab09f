"""Circuits as OpenQASM 3 text in Amazon Braket's own gate names (imports qimg_core, no SDK).

Braket knows neither ``stdgates.inc`` nor ``cx``: its names are ``cnot, si, ti, v, phaseshift, xx, yy, zz, ccnot``
(https://docs.aws.amazon.com/braket/latest/developerguide/braket-openqasm-supported-features.html). All of them
have the matrices of `qimg_core.circuit.gates`, phases included. Numbers are written in their shortest form
that reads back to the same double.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName
from qimg_core.circuit.rewrite import RULES, expand
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.circuit.ir import Circuit, Gate
    from qimg_core.noise import Channel, Matrix2, NoiseModel

G = GateName

NAMES: dict[GateName, str] = {
    G.H: "h",
    G.X: "x",
    G.Y: "y",
    G.Z: "z",
    G.S: "s",
    G.SDG: "si",
    G.T: "t",
    G.TDG: "ti",
    G.SX: "v",
    G.RX: "rx",
    G.RY: "ry",
    G.RZ: "rz",
    G.P: "phaseshift",
    G.CX: "cnot",
    G.CZ: "cz",
    G.SWAP: "swap",
    G.RXX: "xx",
    G.RYY: "yy",
    G.RZZ: "zz",
    G.CCX: "ccnot",
}
"""Gates of the IR that Braket has a name for. Controlled rotations are written as four gates, exactly."""

_CONTROLLED = {name: RULES[name][0] for name in CONTROLLED_ROTATIONS}


def gates_of(operations: Iterable[str]) -> frozenset[GateName]:
    """The IR's gates among a device's ``supportedOperations``; case does not matter."""
    offered = {o.lower() for o in operations}
    return frozenset(gate for gate, name in NAMES.items() if name in offered)


def header(n_wires: int) -> list[str]:
    """The first lines of a program on one register ``q``."""
    return ["OPENQASM 3.0;", f"qubit[{n_wires}] q;"]


def measured(circuit: Circuit) -> str:
    """A program that measures every wire, bit k of ``c`` being wire k; angles must be numbers.

    Every wire is measured, read or not: some devices want that, and none minds.
    """
    lines = header(circuit.n_wires)
    lines.insert(1, f"bit[{circuit.n_wires}] c;")
    return "\n".join([*lines, *statements(circuit), "c = measure q;", ""])


def with_result(circuit: Circuit, result: str, noise: NoiseModel | None = None) -> str:
    """A program that ends in a Braket result type, for exact simulation.

    Args:
        circuit: bound; idle wires get an identity, because the simulators leave out wires without a gate.
        result: "state_vector", "density_matrix" or "probability", always of all wires: with targets in
            another order some versions of the local simulator answer with the inverse permutation.
        noise: channels after the gates. Read-out errors are not written: there is no pragma for them.
    """
    idle = sorted(set(range(circuit.n_wires)) - {w for g in circuit.gates for w in g.wires})
    lines = [*header(circuit.n_wires), *statements(circuit, noise), *(f"i q[{w}];" for w in idle)]
    if result == "density_matrix" and not any(line.startswith("#pragma") for line in lines):
        # no noise at all makes the density matrix simulator warn; this channel does nothing
        lines.append("#pragma braket noise pauli_channel(0.0, 0.0, 0.0) q[0]")
    return "\n".join([*lines, f"#pragma braket result {result}", ""])


def statements(circuit: Circuit, noise: NoiseModel | None = None) -> list[str]:
    """One line for each gate, and one for each channel after it."""
    lines: list[str] = []
    for gate in circuit.gates:
        lines += [_statement(g) for g in expand(gate, _CONTROLLED)]
        if noise is not None:
            lines += [_pragma(channel, wire) for channel, wire in channels_after(noise, gate)]
    return lines


def channels_after(noise: NoiseModel, gate: Gate) -> list[tuple[Channel, int]]:
    """The channels that follow a gate, in order, each with its wire."""
    return [(rule.channel, wire) for rule in noise.rules for wire in rule.targets(gate.name, gate.wires)]


def digest(texts: Iterable[str]) -> str:
    """``sha256:`` of the programs in order, each with its length before it."""
    h = hashlib.sha256()
    for text in texts:
        data = text.encode()
        h.update(f"{len(data)}\n".encode() + data)
    return "sha256:" + h.hexdigest()


def number(value: float) -> str:
    """Shortest decimal that reads back to the same double.

    Raises:
        ConfigurationError: infinite or not a number.
    """
    value = float(value)
    if value - value != 0.0:
        raise ConfigurationError(f"OpenQASM cannot write the angle {value}")
    return repr(value)


def _statement(gate: Gate) -> str:
    if gate.name not in NAMES:
        raise ConfigurationError(f"Braket has no gate for {gate.name}", hint="qimg_core.lowering.lower rewrites it")
    wires = ", ".join(f"q[{w}]" for w in gate.wires)
    if not gate.angles:
        return f"{NAMES[gate.name]} {wires};"
    if gate.angle.parameter is not None:
        raise ConfigurationError(f"{gate.name} has a free parameter; bind it first: qimg_core.settings.bound")
    return f"{NAMES[gate.name]}({number(gate.angle.offset)}) {wires};"


def _pragma(channel: Channel, wire: int) -> str:
    if channel.pauli is None:
        matrices = ", ".join(_matrix(k) for k in channel.kraus)
        return f"#pragma braket noise kraus({matrices}) q[{wire}]"
    errors = [max(0.0, p) for p in channel.pauli[1:]]
    total = sum(errors)
    if total > 1.0:  # by rounding; Braket refuses it
        errors = [p / total * (1 - 1e-15) for p in errors]
    return f"#pragma braket noise pauli_channel({', '.join(map(number, errors))}) q[{wire}]"


def _matrix(k: Matrix2) -> str:
    rows = (", ".join(_complex(complex(v)) for v in row) for row in k)
    return "[" + ", ".join(f"[{row}]" for row in rows) + "]"


def _complex(value: complex) -> str:
    sign = "-" if value.imag < 0 else "+"
    return f"{number(value.real)}{sign}{number(abs(value.imag))}im"
