"""`Task`: what an engine is asked to compute, in no engine's own words (imports numpy, attrs).

A worker in a peer's environment knows only this module and the peer, so a task is a value that
travels as JSON, and its numbers as an npz file.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import asdict, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]

Source = tuple[Literal["x", "w"], int]
"""Where an angle comes from: column of the inputs, or position in the weights."""

Reading = Literal["z", "windows", "postselected", "counts"]


def _wires(wires: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(w) for w in wires)


def _sources(sources: Iterable[tuple[str, int]]) -> tuple[Source, ...]:
    return tuple(("x" if kind == "x" else "w", int(i)) for kind, i in sources)


def _windows(windows: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(_wires(w) for w in windows)


def _gates(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    return tuple(gates)


@frozen
class Gate:
    """A gate and the sources of its angles (radians).

    ``rx ry rz`` on one wire and ``rxx ryy rzz crx cry crz`` on two take one angle, ``rot`` takes three:
    RZ(a) first, RY(b), RZ(c) last. ``h cx cz`` take none. Control first.
    """

    name: str
    wires: tuple[int, ...] = field(converter=_wires)
    angles: tuple[Source, ...] = field(default=(), converter=_sources)


@frozen(kw_only=True)
class Task:
    """One circuit over a batch, and what is read from it.

    A *step* is: fresh arrays, values, derivatives of sum(values * c) by weights and inputs (and by
    ``h``), all as numpy arrays.

    Args:
        name: of the case, for people.
        wires: of the circuit; wire 0 is the most significant.
        rows: of the batch.
        layers: for the cost per layer.
        gates: in order.
        amplitudes: the inputs (rows, 2**wires), normalised in the step, are the initial state; else |0...0>.
        reading: "z": <Z> of every wire, (rows, wires). "windows": <H> of a trained Hermitian matrix on each of
            ``windows``, (rows, len(windows)). "postselected": the distribution of wires 1, 2, ... given that
            wire 0 reads 0, (rows, 2**(wires - 1)). "counts": outcomes of ``shots`` shots of all wires.
        windows: see above.
        shots: see above; such a task has no gradient.
        noise: probability p: after each gate, on each of its wires, one of X, Y, Z with probability p / 3 each.
        generators: so many weight vectors, each for all rows of the inputs; values are then
            (generators * rows, ...), generator by generator.
        spread: angles are uniform in (-spread, spread); half angles beyond pi / 2 have every sign.
    """

    name: str
    wires: int
    rows: int
    layers: int
    gates: tuple[Gate, ...] = field(converter=_gates)
    amplitudes: bool = False
    reading: Reading = "z"
    windows: tuple[tuple[int, ...], ...] = field(default=(), converter=_windows)
    shots: int | None = None
    noise: float | None = None
    generators: int = 1
    spread: float = 2 * np.pi

    @property
    def n_inputs(self) -> int:
        if self.amplitudes:
            return int(2**self.wires)
        return 1 + max((i for g in self.gates for k, i in g.angles if k == "x"), default=-1)

    @property
    def n_weights(self) -> int:
        return 1 + max((i for g in self.gates for k, i in g.angles if k == "w"), default=-1)

    @property
    def width(self) -> int:
        """Numbers per row of the result."""
        if self.reading == "z":
            return self.wires
        if self.reading == "windows":
            return len(self.windows)
        return int(2 ** (self.wires - (self.reading == "postselected")))

    @property
    def amplitudes_touched(self) -> int:
        """Amplitudes (with noise: entries of the density matrix) x rows x wires x layers."""
        size = 4**self.wires if self.noise is not None else 2**self.wires
        return int(size * self.rows * self.generators * self.wires * self.layers)

    @property
    def digest(self) -> str:
        """Over everything but the name."""
        document = {k: v for k, v in self.to_json().items() if k != "name"}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Task:
        """Read `to_json` back."""
        gates = [Gate(**g) for g in document["gates"]]
        return cls(**{**document, "gates": gates})

    def arrays(self, seed: int = 1) -> Arrays:
        """The step's numbers: ``x`` inputs, ``w`` weights, ``c`` cotangent, and ``h`` for windows.

        float32 and complex64.
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        turn = self.spread
        shape = (self.rows, self.n_inputs)
        x = rng.normal(size=shape) if self.amplitudes else rng.uniform(-turn, turn, shape)
        weights = (self.n_weights,) if self.generators == 1 else (self.generators, self.n_weights)
        out: Arrays = {
            "x": x.astype(np.float32),
            "w": rng.uniform(-turn, turn, weights).astype(np.float32),
            "c": rng.normal(size=(self.rows * self.generators, self.width)).astype(np.float32),
        }
        if self.windows:
            size = 2 ** len(self.windows[0])
            h = rng.normal(size=(len(self.windows), size, size, 2)) @ np.array([1, 1j])
            out["h"] = ((h + h.conj().transpose(0, 2, 1)) / 2).astype(np.complex64)
        return out


@frozen(kw_only=True)
class Training:
    """One step of training a generator of ours on synthetic data.

    Args:
        name: of the case.
        generator: its name.
    """

    name: str
    generator: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def task_from_json(document: Mapping[str, Any]) -> Task | Training:
    """Read either kind back."""
    return Training(**document) if "generator" in document else Task.from_json(document)


def save(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as npz."""
    named: Any = dict(arrays)
    np.savez(path, **named)


def split_rot(gates: Iterable[Gate]) -> list[Gate]:
    """The same circuit without ``rot``."""
    out: list[Gate] = []
    for gate in gates:
        if gate.name == "rot":
            names = ("rz", "ry", "rz")
            out += [Gate(name, gate.wires, (angle,)) for name, angle in zip(names, gate.angles, strict=True)]
        else:
            out.append(gate)
    return out
