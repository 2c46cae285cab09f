"""A noise model made of a device's calibration (floor 3; imports errors, circuit, noise, calibration, fidelity).

What is modelled, after each gate:

- depolarization, equally strong and independent on each wire of the gate, such that *together* with the relaxation
  the gate has the average fidelity that the device reports. Relaxation is a part of what a device reports as gate
  error, so it is not counted twice (Qiskit Aer's ``NoiseModel.from_backend`` chooses the same, but its depolarization
  of two qubits is correlated: rho -> (1 - p) rho + p 1/4; ours has the same average fidelity);
- relaxation while the gate lasts: amplitude damping with gamma = 1 - exp(-t/T1), and dephasing that brings the
  coherence to exp(-t/T2); towards ``|0>``, as at zero temperature;
- read-out errors by wire.

Idle wires, crosstalk, leakage and coherent errors are not modelled. Formulas and sources: `qimg_core.fidelity`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from qimg_core.calibration import Calibration, GateFigures, WireFigures
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName
from qimg_core.circuit.ir import Angle, Gate
from qimg_core.circuit.rewrite import cheapest_rules, expand
from qimg_core.errors import ConfigurationError
from qimg_core.fidelity import depolarizing_of, relaxation_of
from qimg_core.noise import Channel, NoiseModel, NoiseRule, depolarizing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

G = GateName
Counts = tuple[tuple[GateName, int], ...]
_NAMES = {"1q": G.SX, "2q": G.CZ, "ecr": G.CX, "cnot": G.CX, "ms": G.RXX, "xx": G.RXX, "yy": G.RYY, "zz": G.RZZ}
_NAMES |= {"gpi": G.X, "gpi2": G.SX, "v": G.SX, "prx": G.RX}
_FRAMES = frozenset({G.RZ, G.P, G.Z, G.S, G.SDG, G.T, G.TDG})
_MOST_WIRES = 16


def noise_from(
    calibration: Calibration,
    layout: Mapping[int, int] | None = None,
    gates: Iterable[str] | None = None,
) -> tuple[NoiseModel, tuple[str, ...]]:
    """The noise that a calibration speaks of, on the wires of a circuit.

    A gate that the device does not calibrate has the error and the duration of the calibrated gates that it is
    written with (`qimg_core.circuit.rewrite`). ``rz`` and its kin are frame changes: without error, unless they are
    calibrated. Write the circuit in the device's own gates first where this matters.

    Args:
        calibration: of the device.
        layout: wire of the circuit -> qubit of the device; None: wire k is qubit k.
        gates: of the circuit; None: every gate of the IR. The fewer, the smaller the model.

    Returns:
        the model, whose `NoiseModel.origin` says the same, and every choice made on the caller's behalf, in words.

    Raises:
        ConfigurationError: a layout that names a qubit twice or one without figures; a device of many qubits
            without a layout; a gate that is not of the IR.
    """
    try:
        names = sorted(UNITARY if gates is None else {GateName(g) for g in gates} & UNITARY)
    except ValueError as cause:
        raise ConfigurationError(f"noise from a calibration: wanted gates of the IR, {cause}") from cause
    maker = _Maker(calibration, _checked(calibration, layout))
    for (n_wires, natives), alike in maker.recipes(names).items():
        for wires in combinations(maker.layout, n_wires) if maker.layout and n_wires < 3 else [()]:
            maker.add(n_wires, natives, alike, wires)
    read = {wire: maker.wire(qubit).readout for wire, qubit in maker.layout.items()}
    average = None if maker.layout else maker.wire(None).readout
    without = [str(wire) for wire, found in read.items() if found is None]
    if without or (not maker.layout and average is None):
        maker.note("no read-out error is given", *without)
    decisions = (
        *(f"{note}: {_listed([*places])}" if places else note for note, places in maker.notes.items()),
        "idle wires, crosstalk, leakage and coherent errors are not modelled",
    )
    when = f", measured {calibration.updated_at}" if calibration.updated_at else ""
    model = NoiseModel(
        maker.rules(),
        average,
        tuple((wire, *found) for wire, found in read.items() if found is not None),
        (f"calibration of {calibration.device or 'a device'}{when}", *decisions),
    )
    return model, decisions


def noise_from_file(text: str) -> NoiseModel:
    """The model of ``FILE``, or of ``FILE@4/5/7`` with wires 0, 1, 2 on the qubits 4, 5, 7.

    The file is JSON: the data of a snapshot (`qimg_core.calibration`), or an object that has these as ``data``.

    Raises:
        ConfigurationError: no such file, not JSON, no calibration, or a layout that does not fit it.
    """
    name, at, qubits = text.rpartition("@")
    listed = qubits.split("/")
    if not at or not all(q.isascii() and q.isdigit() for q in listed):
        name, listed = text, []
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as cause:
        raise ConfigurationError(f"calibration={name}: cannot be read: {cause.strerror}") from cause
    except ValueError as cause:
        raise ConfigurationError(f"calibration={name}: wanted JSON, {cause}") from cause
    device = ""
    if isinstance(document, dict) and "data" in document:
        device, document = str(document.get("device", "")), document["data"]
    layout = {wire: int(q) for wire, q in enumerate(listed)}
    return noise_from(Calibration.from_json(document, device=device), layout or None)[0]


def _checked(calibration: Calibration, layout: Mapping[int, int] | None) -> dict[int, int]:
    """The layout, in order of the wires; empty where the device tells no qubits apart."""
    known = {*calibration.wires, *(q for places in calibration.gates.values() for qubits in places for q in qubits)}
    if not known:
        return {}
    if layout is None:
        if len(known) > _MOST_WIRES:
            raise ConfigurationError(
                f"a calibration of {len(known)} qubits needs a layout: which qubit is wire 0, 1, ...",
                hint="noise_from(calibration, {0: 4, 1: 5}), or --noise calibration=FILE.json@4/5",
            )
        return {q: q for q in sorted(known)}
    chosen = sorted(layout.values())
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise ConfigurationError(f"layout: qubits {unknown} are not among the {len(known)} that are calibrated")
    if not chosen or len(set(chosen)) != len(chosen) or min(layout) < 0:
        raise ConfigurationError(f"layout: wanted wires on distinct qubits, got {dict(layout)}")
    return dict(sorted(layout.items()))


@define
class _Maker:
    """A model in the making: its rules by (stage, wires, on, channel), and what was decided, with places."""

    calibration: Calibration
    layout: dict[int, int]
    made: dict[tuple[int, tuple[int, ...], tuple[int, ...], Channel], set[GateName]] = field(factory=dict)
    notes: dict[str, dict[str, None]] = field(factory=dict)

    def note(self, what: str, *where: str) -> None:
        self.notes.setdefault(what, {}).update(dict.fromkeys(where))

    def rules(self) -> tuple[NoiseRule, ...]:
        """Depolarization of every gate first, then damping, then dephasing."""
        found = sorted(self.made.items(), key=lambda item: (*item[0][:3], sorted(item[1])))
        return tuple(NoiseRule(channel, names, wires or None, on or None) for (_, wires, on, channel), names in found)

    @property
    def native(self) -> dict[GateName, str]:
        """Gates of the IR that are calibrated, and what the device calls them."""
        names = [*self.calibration.gates, *self.calibration.average_gates]
        out = {_NAMES[n]: n for n in names if n in _NAMES}  # a gate under its own name goes before its kin
        return {**out, **{GateName(n): n for n in names if n in set(UNITARY)}}

    def recipes(self, names: Iterable[GateName]) -> dict[tuple[int, Counts], list[GateName]]:
        """Gates by how many wires they have and by the native gates that make them, frame changes left out."""
        native = self.native
        rules = cheapest_rules({*native, G.RZ})
        out: dict[tuple[int, Counts], list[GateName]] = {}
        for name in names:
            n_wires = name.n_wires or 1
            angles = (Angle(offset=0.5),) if name in PARAMETRIC else ()
            steps = Counter(g.name for g in expand(Gate(name, range(n_wires), angles), rules))
            counts = tuple(sorted((g, k) for g, k in steps.items() if g in native or g not in _FRAMES))
            if any(g not in native for g, _ in counts):
                self.note("NOT MODELLED, no calibrated gates make them", name.value)
            elif not counts:
                self.note("frame changes, without error", name.value)
            else:
                if name not in native:
                    self.note("as noisy as the calibrated gates that they are written with", name.value)
                out.setdefault((n_wires, counts), []).append(name)
        return out

    def wire(self, qubit: int | None) -> WireFigures:
        """Figures of a qubit, else the average."""
        average = self.calibration.average_wire or WireFigures()
        own = average if qubit is None else self.calibration.wires.get(qubit, average)
        found = WireFigures(own.t1_us or average.t1_us, own.t2_us or average.t2_us, own.readout or average.readout)
        if found.t1_us and found.t2_us and found.t2_us > 2 * found.t1_us:
            self.note("T2 above 2 T1 is taken as 2 T1 on qubits", *(() if qubit is None else (str(qubit),)))
        return found

    def figures(self, gate: GateName, qubits: tuple[int, ...]) -> tuple[GateFigures, bool]:
        """Of a native gate on these qubits, else on average; and whether they are of just these."""
        name = self.native[gate]
        places = self.calibration.gates.get(name, {})
        found = [places[q] for q in dict.fromkeys((qubits, qubits[::-1])) if q in places]
        if len(found) == 2 and found[0] != found[1]:
            self.note("calibrated in both directions, their mean is taken", name)
        if found:
            return _mean(found), True
        if name in self.calibration.average_gates:
            return self.calibration.average_gates[name], not places
        works = [f for f in places.values() if f.error is None or f.error < 0.5]
        return _mean(works or [*places.values()]), False

    def add(self, n_wires: int, natives: Counts, names: list[GateName], wires: tuple[int, ...]) -> None:
        """The rules of gates that are made alike, on some wires; on any where ``wires`` is empty."""
        qubits: list[int | None] = [self.layout[w] for w in wires] if wires else [None] * n_wires
        places = "-".join(map(str, qubits)) if wires else "any"
        fidelity, duration, known, own = self.effect(natives, qubits)
        if not own:
            what = {1: "gates on qubits without figures", 2: "qubits that are not coupled, without their swaps"}
            self.note(f"mean error of the device, as depolarization, for {what.get(n_wires, 'gates on three')}", places)
        ends = [relaxation_of(self.wire(q), duration if own else 0.0) for q in qubits]
        where = f"{', '.join(names)} on {places}"
        if known:
            d = 2**n_wires
            p = depolarizing_of((1 - fidelity) * d / (d + 1), [left for _, left in ends])
            if p == 0 and fidelity < 1:
                self.note("relaxation alone is worse than the reported error, nothing is added", where)
            if p == 1:
                self.note("the reported error leaves nothing of the gate, fully depolarizing", where)
            if p > 0:
                self.made.setdefault((0, wires, (), depolarizing(p)), set()).update(names)
        else:
            self.note("no error is reported, only relaxation is modelled", where)
        for at, (channels, _) in enumerate(ends if wires else ends[:1]):
            on = (wires[at],) if len(wires) > 1 else ()
            for stage, channel in enumerate(channels, 1):
                self.made.setdefault((stage, wires, on, channel), set()).update(names)

    def effect(self, natives: Counts, qubits: Sequence[int | None]) -> tuple[float, float, bool, bool]:
        """Entanglement fidelity and duration (ns) of native gates in a row; whether an error is given, just for these.

        A native gate on one wire is shared evenly by the wires.
        """
        n = len(qubits)
        fidelity, duration, known, own = 1.0, 0.0, False, n < 3
        numbered = tuple(q for q in qubits if q is not None) if n < 3 else ()
        for native, count in natives:
            pair = native.n_wires == 2
            share, factor = (count, 1.25) if pair else (count / n, 1.5)
            singles: list[tuple[int, ...]] = [(q,) for q in numbered] or [()] * n
            for place in [numbered] if pair else singles:
                figures, exact = self.figures(native, place)
                known = known or figures.error is not None
                own = own and (exact or not numbered or len(place) < n)
                fidelity *= max(0.0, 1 - factor * (figures.error or 0.0)) ** share
                duration += share * (figures.duration_ns or 0.0) / (1 if pair else n)
        return fidelity, duration, known, own


def _listed(places: Sequence[str], most: int = 12) -> str:
    more = len(places) - most
    return ", ".join(places[:most]) + (f" and {more} more" if more > 0 else "")


def _mean(found: Sequence[GateFigures]) -> GateFigures:
    def mean(values: list[float]) -> float | None:
        return math.fsum(values) / len(values) if values else None

    errors, durations = [f.error for f in found], [f.duration_ns for f in found]
    return GateFigures(mean([e for e in errors if e is not None]), mean([t for t in durations if t is not None]))
