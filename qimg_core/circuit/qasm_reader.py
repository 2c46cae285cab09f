"""Reading the part of OpenQASM 3 that the circuit IR can hold (imports errors, gates, ir, qasm_expressions).

Read: qubit registers, ``input`` parameters, the gates of the IR and of ``stdgates.inc``, gate definitions
(written out where they are used), ``measure`` and ``reset`` without a classical bit, ``barrier`` (which
changes nothing here). Everything else is an error that names its line: no statement is passed over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from attrs import frozen

from qimg_core.circuit.gates import NON_UNITARY, UNITARY, GateName
from qimg_core.circuit.ir import Circuit, Gate, Parameter
from qimg_core.circuit.qasm_expressions import Affine, Cursor, Token, angle, expression, fail, tokens
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qimg_core.circuit.ir import Role
    from qimg_core.circuit.qasm_expressions import Value

DEFINITIONS = {
    "rxx": "gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }",
    "ryy": "gate ryy(theta) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(theta) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }",
    "rzz": "gate rzz(theta) a, b { cx a, b; rz(theta) b; cx a, b; }",
}
"""Gates of the IR that ``stdgates.inc`` lacks, with the exact matrices of `qimg_core.circuit.gates`."""

_LIBRARY = """
gate id a { }
gate u1(l) a { p(l) a; }
gate phase(l) a { p(l) a; }
gate u2(f, l) a { rz(l) a; ry(pi/2) a; rz(f) a; }
gate u3(t, f, l) a { rz(l) a; ry(t) a; rz(f) a; }
gate U(t, f, l) a { rz(l) a; ry(t) a; rz(f) a; }
gate CX a, b { cx a, b; }
gate cp(l) a, b { p(l/2) a; p(l/2) b; cx a, b; p(-l/2) b; cx a, b; }
gate cphase(l) a, b { p(l/2) a; p(l/2) b; cx a, b; p(-l/2) b; cx a, b; }
gate cu1(l) a, b { p(l/2) a; p(l/2) b; cx a, b; p(-l/2) b; cx a, b; }
gate cy a, b { sdg b; cx a, b; s b; }
gate ch a, b { ry(-pi/4) b; cz a, b; ry(pi/4) b; }
gate cu(t, f, l, g) a, b { p(g) a; p(l/2) a; p(f/2) a; rz(l/2) b; rz(-f/2) b; cx a, b; rz(-f/2) b; rz(-l/2) b;
  ry(-t/2) b; cx a, b; ry(t/2) b; rz(f) b; }
gate cswap a, b, c { cx c, b; ccx a, b, c; cx c, b; }
"""
# Exact, but for a global phase of u2, u3, U and cu, which the IR does not hold and no measurement sees.

KNOWN = frozenset(name.value for name in UNITARY | NON_UNITARY)
_WORDS = """
OPENQASM include gate qubit qreg bit creg input output const let def cal defcal defcalgrammar extern box barrier
measure reset delay return if else for while in break continue end switch case default int uint float angle bool
complex array duration stretch void readonly mutable true false im ctrl negctrl inv pow gphase durationof pi tau
euler sin cos tan arcsin arccos arctan exp log sqrt ceiling floor mod popcount rotl rotr sizeof real imag pragma
"""
RESERVED = frozenset(_WORDS.split())
_MOST_GATES, _MOST_WIRES = 1_000_000, 10_000


@frozen
class Definition:
    """A gate in terms of others; its body is read at each use."""

    angles: tuple[str, ...]
    wires: tuple[str, ...]
    body: tuple[Token, ...]

    def plain(self) -> list[str]:
        """The body with arguments by position, so that renaming them makes no difference."""
        places = {name: f"${i}" for i, name in enumerate((*self.angles, *self.wires))}
        return [str(len(self.angles)), *(places.get(t.text, t.text) for t in self.body)]


def from_qasm3(text: str) -> Circuit:
    """Read OpenQASM 3.

    Registers become wires in the order of their declaration. An ``input`` of type float or angle becomes a
    parameter: a weight, unless the comment line before it says otherwise, ``// qimg input "x0"`` (role and
    name, as `to_qasm3` writes it). An angle must be affine in at most one parameter: ``2 * x + pi/2``.
    ``u2``, ``u3`` and ``U`` become rz, ry, rz (up to a global phase).

    Raises:
        ConfigurationError: anything that the IR cannot hold, with its line number.
    """
    reader = _Reader()
    try:
        reader.program(Cursor(tokens(text)))
    except RecursionError:
        raise ConfigurationError("brackets or gate definitions are nested too deeply to read") from None
    if not reader.n_wires:
        raise ConfigurationError("the program declares no qubits; wanted e.g. qubit[4] q;")
    return Circuit(reader.n_wires, tuple(reader.gates), tuple(reader.parameters))


def _definition(c: Cursor) -> tuple[str, Definition]:
    """What follows the word ``gate``, up to the closing brace."""
    line, name = c.now.line, c.of("name", "a name")
    angles = c.listed(")", lambda: c.of("name", "a name")) if c.take("(") else []
    wires = c.listed("{", lambda: c.of("name", "a name"))
    start = c.at
    while c.now.text != "}":
        if c.next().kind == "end":
            fail(line, f"the definition of {name!r} has no end")
    body = tuple(c.words[start : c.at])
    c.want("}")
    if any(t.text == name for t in body):
        fail(line, f"gate {name!r} uses itself")
    return name, Definition(tuple(angles), tuple(wires), body)


def _definitions(text: str) -> dict[str, Definition]:
    c, out = Cursor(tokens(text)), {}
    while c.take("gate"):
        name, definition = _definition(c)
        out[name] = definition
    return out


LIBRARY = _definitions(_LIBRARY)
_NATIVE = _definitions("\n".join(DEFINITIONS.values()))


class _Reader:
    """What was read so far; one statement a method."""

    def __init__(self) -> None:
        self.n_wires = 0
        self.gates: list[Gate] = []
        self.parameters: list[Parameter] = []
        self.names: dict[str, Value] = {}
        self.registers: dict[str, list[int]] = {}
        self.definitions = dict(LIBRARY)
        self.uses = 0

    def program(self, c: Cursor) -> None:
        pragma: tuple[Role, str] | None = None
        while c.now.kind != "end":
            token = c.next()
            if pragma is not None and token.text != "input":
                fail(token.line, "a comment '// qimg' that names a parameter stands right before its input")
            if token.kind == "role":
                pragma = _pragma(token)
                continue
            if token.text == "input":
                self._input(c, pragma)
            elif token.text == "OPENQASM":
                version = c.of("number", "a version number")
                if version.partition(".")[0] != "3":
                    fail(token.line, f"wanted OpenQASM 3, found version {version}", "qiskit.qasm3.dumps converts it")
                c.want(";")
            elif token.text == "include":
                if c.of("string", "a file name")[1:-1] != "stdgates.inc":
                    fail(token.line, "only stdgates.inc can be included", "paste the gate definitions into the text")
                c.want(";")
            elif token.text in ("qubit", "qreg"):
                self._register(c, token.text)
            elif token.text == "gate":
                self._define(c)
            elif token.text == "barrier":
                c.listed(";", lambda: self._wire(c))
            else:
                self._gate(c, token, self.names, lambda: self._wire(c))
            pragma = None
        if pragma is not None:
            fail(c.now.line, "a comment '// qimg' that names a parameter stands right before its input")

    def _declare(self, name: str, line: int) -> None:
        if any(name in known for known in (self.names, self.registers, self.definitions, KNOWN, RESERVED)):
            fail(line, f"the name {name!r} is taken", "gates and words of the language are names too")

    def _input(self, c: Cursor, pragma: tuple[Role, str] | None) -> None:
        line, kind = c.now.line, c.next().text
        if kind not in ("float", "angle"):
            fail(line, f"an input is a float or an angle, found {kind!r}")
        if c.take("["):
            c.whole("a number of bits")
            c.want("]")
        name = c.of("name", "a name")
        c.want(";")
        self._declare(name, line)
        role, given = pragma or ("weight", name)
        if any(p.name == given for p in self.parameters):
            fail(line, f"there are two parameters named {given!r}")
        self.names[name] = Affine(len(self.parameters))
        self.parameters.append(Parameter(given, role))

    def _register(self, c: Cursor, word: str) -> None:
        line, size = c.now.line, 1

        def bracket() -> int:
            found = c.whole("a number of qubits")
            c.want("]")
            return found

        if word == "qubit" and c.take("["):
            size = bracket()
        name = c.of("name", "a name")
        if word == "qreg" and c.take("["):
            size = bracket()
        c.want(";")
        self._declare(name, line)
        if size == 0 or self.n_wires + size > _MOST_WIRES:
            fail(line, f"wanted 1 to {_MOST_WIRES} qubits in all, got {size} in {name!r}")
        self.registers[name] = list(range(self.n_wires, self.n_wires + size))
        self.n_wires += size

    def _define(self, c: Cursor) -> None:
        line = c.now.line
        name, definition = _definition(c)
        if self.definitions.get(name) is LIBRARY["cu1"]:  # ours, not of stdgates.inc: a program may bring its own
            self.definitions[name] = definition
            return
        if name in _NATIVE and name not in self.definitions:
            if definition.plain() != _NATIVE[name].plain():
                self.definitions[name] = definition  # somebody else's rxx: exactly as they wrote it
            return
        self._declare(name, line)
        self.definitions[name] = definition

    def _gate(self, c: Cursor, token: Token, scope: Mapping[str, Value], wire: Callable[[], list[int]]) -> None:
        name, line = token.text, token.line
        definition = self.definitions.get(name)
        if token.kind != "name" or (definition is None and name not in KNOWN):
            hint = "what is measured belongs to the request, not to the circuit" if name in ("bit", "creg") else ""
            fail(line, f"cannot read {name!r}: no gate of that name, and no statement that a circuit can hold", hint)
        angles = c.listed(")", lambda: expression(c, scope)) if c.take("(") else []
        operands = c.listed(";", wire)
        if definition is not None:
            wanted = (len(definition.angles), len(definition.wires))
        else:
            wanted = (GateName(name).n_angles, cast("int", GateName(name).n_wires))
        got = (len(angles), len(operands))
        if got != wanted:
            fail(line, f"{name} takes {wanted[0]} angle(s) and {wanted[1]} qubit(s), got {got[0]} and {got[1]}")
        for wires in _broadcast(operands, line):
            self.uses += 1
            if self.uses > _MOST_GATES:
                fail(line, f"more than {_MOST_GATES} gates")
            if len(set(wires)) != len(wires):
                fail(line, f"{name} needs distinct qubits")
            if definition is None:
                self.gates.append(Gate(name, wires, tuple(angle(a) for a in angles)))
            else:
                self._expand(definition, angles, wires)

    def _expand(self, definition: Definition, angles: Sequence[Value], wires: Sequence[int]) -> None:
        c = Cursor(definition.body)
        scope = dict(zip(definition.angles, angles, strict=True))
        places = {name: [k] for name, k in zip(definition.wires, wires, strict=True)}

        def wire() -> list[int]:
            line, name = c.now.line, c.of("name", "a qubit")
            return places.get(name) or fail(line, f"no qubit named {name!r} in this gate")

        while c.now.kind != "end":
            self._gate(c, c.next(), scope, wire)

    def _wire(self, c: Cursor) -> list[int]:
        """The qubits that an operand names: one, or all of a register."""
        line, name = c.now.line, c.of("name", "a qubit")
        if name not in self.registers:
            fail(line, f"no qubits named {name!r}")
        register = self.registers[name]
        if not c.take("["):
            return register
        index = c.whole("the number of a qubit")
        c.want("]")
        if index >= len(register):
            fail(line, f"{name}[{index}] is outside the register of {len(register)}")
        return [register[index]]


def _broadcast(operands: Sequence[list[int]], line: int) -> Iterator[tuple[int, ...]]:
    """``cx q, r`` on registers of one size is one gate for each pair; a single qubit goes with each."""
    sizes = {len(wires) for wires in operands} - {1}
    if len(sizes) > 1:
        fail(line, f"registers of different sizes {sorted(sizes)} in one gate")
    for i in range(max(sizes, default=1)):
        yield tuple(wires[0] if len(wires) == 1 else wires[i] for wires in operands)


def _pragma(token: Token) -> tuple[Role, str]:
    _, role, rest = token.text[2:].split(None, 2)
    try:
        name = json.loads(rest)
    except json.JSONDecodeError:
        fail(token.line, f"wanted the parameter's name as a JSON string, found {rest!r}")
    return cast("Role", role), str(name)
