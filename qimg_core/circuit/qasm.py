"""Circuits as OpenQASM 3.0 text (imports errors, gates, ir; reading is in `qasm_reader`).

Language: https://openqasm.com/versions/3.0 with its standard library ``stdgates.inc``, whose gates have
the matrices of `qimg_core.circuit.gates`. ``rxx``, ``ryy`` and ``rzz`` are not in it: the text defines them.
A parameter becomes an ``input float``; the comment above it, ``// qimg weight "l0.theta"``, keeps its role
and its name, so that `from_qasm3` gives back a circuit of the same digest.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.qasm_reader import DEFINITIONS, KNOWN, LIBRARY, RESERVED, from_qasm3
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.ir import Angle, Circuit, Gate

__all__ = ["from_qasm3", "to_qasm3"]


def to_qasm3(circuit: Circuit, values: Sequence[float] | None = None) -> str:
    """The circuit as a program on one register ``q``, wire k as ``q[k]``.

    Nothing is measured unless the circuit itself measures: what is read out belongs to a request.

    Args:
        circuit: any but those that prepare states.
        values: one number for each of ``circuit.parameters``, written in their place; None declares the
            parameters as inputs of the program.

    Raises:
        ConfigurationError: a ``prepare``, which OpenQASM does not have; the wrong number of values; or an
            angle that is not finite.
    """
    if circuit.n_wires < 1:
        raise ConfigurationError(f"OpenQASM has no register of {circuit.n_wires} qubits")
    if values is not None and len(values) != len(circuit.parameters):
        raise ConfigurationError(f"wanted {len(circuit.parameters)} values, one a parameter, got {len(values)}")
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    used = {gate.name for gate in circuit.gates}
    lines += [DEFINITIONS[name.value] for name in GateName if name in used and name.value in DEFINITIONS]
    names: list[str] = []
    if values is None:
        for parameter in circuit.parameters:
            names.append(_identifier(parameter.name, {*names, "q"}))
            lines.append(f"// qimg {parameter.role} {json.dumps(parameter.name)}")
            lines.append(f"input float[64] {names[-1]};")
    lines.append(f"qubit[{circuit.n_wires}] q;")
    lines += [_statement(gate, names, values) for gate in circuit.gates]
    return "\n".join(lines) + "\n"


def _statement(gate: Gate, names: Sequence[str], values: Sequence[float] | None) -> str:
    if gate.name is GateName.PREPARE:
        raise ConfigurationError(
            "OpenQASM has no gate that prepares a state from amplitudes",
            hint="write it in rotations first: qimg_core.lowering.lower(request, gates without prepare)",
        )
    wires = ", ".join(f"q[{w}]" for w in gate.wires)
    angles = ", ".join(_expression(angle, names, values) for angle in gate.angles)
    return f"{gate.name.value}({angles}) {wires};" if angles else f"{gate.name.value} {wires};"


def _expression(angle: Angle, names: Sequence[str], values: Sequence[float] | None) -> str:
    if angle.parameter is None:
        return _number(angle.offset)
    if values is not None:
        return _number(angle.scale * float(values[angle.parameter]) + angle.offset)
    name, scale, offset = names[angle.parameter], _number(angle.scale), _number(angle.offset)
    term = name if scale == "1.0" else f"{scale} * {name}"
    if offset == "0.0":
        return term
    # The sign of a zero is part of the digest, so "- 0.0" is written too.
    return f"{term} - {offset[1:]}" if offset.startswith("-") else f"{term} + {offset}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ConfigurationError(f"OpenQASM cannot write the angle {value}")
    return repr(float(value))


def _identifier(name: str, taken: set[str]) -> str:
    """A legal name near ``name``: its letters, digits and underscores, not a word of the language."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not re.match(r"[A-Za-z]", base):
        base = f"p{base}"
    found, count = base, 0
    while any(found in names for names in (taken, RESERVED, KNOWN, LIBRARY)):
        count += 1
        found = f"{base}_{count}"
    return found
