"""What a device says of its own quality, in one form for all providers (floor 3; imports errors, job).

The data of a `Snapshot` in schema ``qimg.calibration/1``, without floats; every key but ``schema`` may be missing::

    {
      "schema": "qimg.calibration/1",
      "updated_at": "2026-11-20T03:10:00+00:00",
      "wires": {"0": {"t1_us": "250.1", "t2_us": "180", "readout": ["0.012", "0.021"]}},
      "gates": {"cz": {"0,1": {"error": "0.0031", "duration_ns": "68"}}, "sx": {"0": {"error": "0.0002"}}},
      "average": {"wires": {"t1_us": "1e8"}, "gates": {"1q": {"error": "0.0003"}, "2q": {"error": "0.005"}}}
    }

``readout`` is (p(1|0), p(0|1)): read 1 where 0 was, and the reverse. ``error`` is one minus the average gate fidelity,
what randomized benchmarking gives. Gates have the names of the IR where it has them, else the provider's, or ``1q`` and
``2q`` where it does not tell its gates apart. ``average`` is for figures that are not given by qubit. Other keys are
let be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.job import JSON, Snapshot

SCHEMA = "qimg.calibration/1"
_LISTED = 5


@frozen
class WireFigures:
    """One qubit: relaxation times T1 and T2 in microseconds, read-out errors (p(1|0), p(0|1)); None where not given."""

    t1_us: float | None = None
    t2_us: float | None = None
    readout: tuple[float, float] | None = None

    def to_json(self) -> dict[str, JSON]:
        """Without floats, and without what is not given."""
        out = _texts(t1_us=self.t1_us, t2_us=self.t2_us)
        return out if self.readout is None else {**out, "readout": [repr(p) for p in self.readout]}


@frozen
class GateFigures:
    """One gate on its qubits: average gate infidelity, duration in nanoseconds; None where not given."""

    error: float | None = None
    duration_ns: float | None = None

    def to_json(self) -> dict[str, JSON]:
        """Without floats, and without what is not given."""
        return _texts(error=self.error, duration_ns=self.duration_ns)


@frozen(kw_only=True)
class Calibration:
    """Figures of one device at one time.

    Args:
        device: its name at the provider.
        wires: by qubit.
        gates: by name of the gate, then by its qubits in the order of the gate.
        average_wire: of qubits that are not listed.
        average_gates: of gates that are not listed, by name.
        updated_at: when the provider measured them, as it says.
    """

    device: str = ""
    wires: Mapping[int, WireFigures] = field(factory=dict)
    gates: Mapping[str, Mapping[tuple[int, ...], GateFigures]] = field(factory=dict)
    average_wire: WireFigures | None = None
    average_gates: Mapping[str, GateFigures] = field(factory=dict)
    updated_at: str | None = None

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Calibration:
        """Read a snapshot's data; see `from_json`."""
        return cls.from_json(snapshot.data, device=snapshot.device)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, device: str = "") -> Calibration:
        """Read the form that this module's docstring shows.

        Raises:
            ConfigurationError: another schema, a number that is not text or is impossible, a key that names no qubits.
        """
        if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
            found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
            raise ConfigurationError(f"wanted a calibration with schema {SCHEMA!r}, got {found!r}")
        average = _section(document, "average", "average")
        gates = {}
        for name, places in _section(document, "gates", "gates").items():
            where = f"gates.{name}"
            if not isinstance(places, Mapping):
                raise ConfigurationError(f"calibration, {where}: wanted an object, got {type(places).__name__}")
            gates[name] = {_qubits(key, where): _gate(leaf, f"{where}.{key}") for key, leaf in places.items()}
        wires = {}
        for key, leaf in _section(document, "wires", "wires").items():
            qubits = _qubits(key, "wires")
            if len(qubits) != 1:
                raise ConfigurationError(f"calibration, wires: wanted one qubit such as '0', got {key!r}")
            wires[qubits[0]] = _wire(leaf, f"wires.{key}")
        updated = document.get("updated_at")
        return cls(
            device=device or str(document.get("device", "")),
            wires=wires,
            gates=gates,
            average_wire=_wire(average["wires"], "average.wires") if "wires" in average else None,
            average_gates={
                name: _gate(leaf, f"average.gates.{name}")
                for name, leaf in _section(average, "gates", "average.gates").items()
            },
            updated_at=None if updated is None else str(updated),
        )

    def to_json(self) -> dict[str, JSON]:
        """The data of a snapshot, read back by `from_json`."""
        out: dict[str, JSON] = {"schema": SCHEMA}
        if self.updated_at is not None:
            out["updated_at"] = self.updated_at
        if self.wires:
            out["wires"] = {str(w): figures.to_json() for w, figures in sorted(self.wires.items())}
        if self.gates:
            out["gates"] = {
                name: {",".join(map(str, q)): figures.to_json() for q, figures in sorted(places.items())}
                for name, places in sorted(self.gates.items())
            }
        average: dict[str, JSON] = {}
        if self.average_wire is not None:
            average["wires"] = self.average_wire.to_json()
        if self.average_gates:
            average["gates"] = {name: figures.to_json() for name, figures in sorted(self.average_gates.items())}
        return {**out, "average": average} if average else out


def drift(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What of the calibration changed, in words, the largest relative changes first.

    Args:
        before: the earlier snapshot.
        after: the later one, of the same device.

    Returns:
        at most six lines, such as ``cz 0,1 error: 0.003 -> 0.004 (+33 %)``, the last one counting the rest; empty
        where no figure changed, or where either is no calibration. Never raises: a paid result may depend on it.
    """
    if before.data.get("schema") != SCHEMA or after.data.get("schema") != SCHEMA:
        return ()
    old, new = dict(_leaves(before.data)), dict(_leaves(after.data))
    changes = []
    for name in {*old, *new}:
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        x, y = _maybe_number(a), _maybe_number(b)
        if x is None or y is None:
            changes.append((math.inf, f"{name}: {a or 'not given'} -> {b or 'not given'}"))
        elif x != y:
            share = abs(y - x) / abs(x) if x else math.inf
            relative = f" ({100 * (y - x) / abs(x):+.3g} %)" if x else ""
            changes.append((share, f"{name}: {a} -> {b}{relative}"))
    changes.sort(key=lambda c: (-c[0], c[1]))
    lines = [words for _, words in changes[:_LISTED]]
    more = len(changes) - _LISTED
    return (*lines, f"and {more} more figures") if more > 0 else tuple(lines)


def _leaves(data: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """(name in words, text) of every figure, whatever else stands there."""
    average = data.get("average")
    for section, leaf in (("wires", "wire {0} {1}"), ("gates", "{0} {1}")):
        yield from _texts_below(data.get(section), leaf)
        if isinstance(average, Mapping):
            yield from _texts_below({"": average.get(section)}, f"average {section[:-1]} {{1}}")


def _texts_below(tree: object, words: str) -> Iterator[tuple[str, str]]:
    def walk(node: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(node, Mapping):
            for key, below in node.items():
                yield from walk(below, (*path, str(key)))
        elif isinstance(node, list) and path and path[-1] == "readout" and len(node) == 2:
            for which, below in zip(("p(1|0)", "p(0|1)"), node, strict=True):
                yield from walk(below, (*path, which))
        elif node is not None:
            yield path, str(node)

    for path, text in walk(tree, ()):
        yield words.format(path[0] if path else "", " ".join(path[1:])), text


def _maybe_number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _texts(**values: float | None) -> dict[str, JSON]:
    return {name: repr(float(v)) for name, v in values.items() if v is not None}


def _section(document: Mapping[str, Any], key: str, path: str) -> Mapping[str, Any]:
    found = document.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"calibration, {path}: wanted an object, got {type(found).__name__}")
    return found


def _qubits(key: str, path: str) -> tuple[int, ...]:
    parts = key.split(",")
    if not all(p.isascii() and p.isdigit() for p in parts) or len(set(parts)) != len(parts):
        raise ConfigurationError(f"calibration, {path}: wanted distinct qubits such as '0' or '0,1', got {key!r}")
    return tuple(int(p) for p in parts)


def _number(value: object, path: str, *, probability: bool) -> float:
    number = _maybe_number(value) if isinstance(value, str) else None
    if number is None:
        raise ConfigurationError(f"calibration, {path}: wanted a number as text such as '0.01', got {value!r}")
    if not (0 <= number <= 1 if probability else number >= 0):
        wanted = "a probability" if probability else "a time that is not negative"
        raise ConfigurationError(f"calibration, {path}: wanted {wanted}, got {value!r}")
    return number


def _optional(leaf: Mapping[str, Any], key: str, path: str, *, probability: bool = False) -> float | None:
    return None if leaf.get(key) is None else _number(leaf[key], f"{path}.{key}", probability=probability)


def _wire(leaf: object, path: str) -> WireFigures:
    if not isinstance(leaf, Mapping):
        raise ConfigurationError(f"calibration, {path}: wanted an object, got {type(leaf).__name__}")
    t1, t2 = (_optional(leaf, key, path) for key in ("t1_us", "t2_us"))
    if 0 in (t1, t2):
        raise ConfigurationError(f"calibration, {path}: wanted relaxation times greater than 0")
    readout = leaf.get("readout")
    if readout is None:
        return WireFigures(t1, t2)
    if not isinstance(readout, list) or len(readout) != 2:
        raise ConfigurationError(f"calibration, {path}.readout: wanted [p(1|0), p(0|1)], got {readout!r}")
    one, zero = (_number(p, f"{path}.readout", probability=True) for p in readout)
    return WireFigures(t1, t2, (one, zero))


def _gate(leaf: object, path: str) -> GateFigures:
    if not isinstance(leaf, Mapping):
        raise ConfigurationError(f"calibration, {path}: wanted an object, got {type(leaf).__name__}")
    return GateFigures(_optional(leaf, "error", path, probability=True), _optional(leaf, "duration_ns", path))


__all__ = ["SCHEMA", "Calibration", "GateFigures", "WireFigures", "drift"]
