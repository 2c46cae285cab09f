"""Building circuits from circuits: re-uploading, tilings, controlled versions (imports errors, gates, ir, rewrite)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate
from qimg_core.circuit.rewrite import RULES, expand
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

G = GateName


def chain(circuits: Iterable[Circuit], *, tie: Iterable[str] = ()) -> Circuit:
    """The circuits one after the other, as `Circuit.then` joins them.

    Raises:
        ConfigurationError: there is none, or their wires differ.
    """
    tied = tuple(tie)
    parts = list(circuits)
    if not parts:
        raise ConfigurationError("wanted one circuit or more, got none")
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.then(part, tie=tied)
    return joined


def repeat(circuit: Circuit, times: int, *, tied: bool = False) -> Circuit:
    """``circuit`` ``times`` times with the same inputs.

    Args:
        circuit: what is repeated.
        times: 1 or more.
        tied: use the same weights each time; otherwise round r's weights are named ``r{r}.name``.

    Raises:
        ConfigurationError: fewer than one time.
    """
    _at_least_one("times", times)
    if tied:
        return chain([circuit] * times, tie=[p.name for p in circuit.parameters])
    return chain(circuit.renamed(f"r{r}.") for r in range(times))


def interleave(
    encoder_circuit: Circuit, ansatz_circuit: Circuit | Sequence[Circuit], layers: int, share_inputs: bool
) -> Circuit:
    """Data re-uploading: encode, ansatz, encode, ansatz, ... (Perez-Salinas et al. 2020, arXiv:1907.02085).

    Weights are never tied between layers: layer l's are named ``l{l}.name``.

    Args:
        encoder_circuit: uploads the data; run once in each layer.
        ansatz_circuit: one circuit for all layers, or one for each.
        layers: how often the data is uploaded, 1 or more.
        share_inputs: every layer reads the same inputs; otherwise layer l reads its own, named
            ``l{l}.name``, and the inputs' order is layer by layer.

    Raises:
        ConfigurationError: the wires or the number of circuits do not fit, or the encoder prepares a state,
            which cannot be done a second time.
    """
    _at_least_one("layers", layers)
    blocks = [ansatz_circuit] * layers if isinstance(ansatz_circuit, Circuit) else list(ansatz_circuit)
    if len(blocks) != layers:
        raise ConfigurationError(f"wanted one ansatz circuit for each of {layers} layers, got {len(blocks)}")
    if layers > 1 and any(g.name is G.PREPARE for g in encoder_circuit.gates):
        raise ConfigurationError("prepare starts from |0...0>: an encoder that uses it cannot be re-uploaded")
    parts: list[Circuit] = []
    for layer, block in enumerate(blocks):
        prefix = f"l{layer}."
        parts.append(encoder_circuit if share_inputs else encoder_circuit.renamed(prefix, roles=("input",)))
        parts.append(block.renamed(prefix))
    return chain(parts)


def tile(block: Circuit, pairs: Iterable[Sequence[int]], n_wires: int, *, tied: bool = False) -> Circuit:
    """A convolution: the same block on each tuple of wires, in order.

    Args:
        block: a circuit on as many wires as each tuple has.
        pairs: where it goes, e.g. ``[(0, 1), (2, 3), (1, 2)]``.
        n_wires: wires of the result.
        tied: all blocks share one set of weights; otherwise block k's are named ``b{k}.name``.
    """
    places = [tuple(p) for p in pairs]
    if tied:
        return chain((block.on(p, n_wires) for p in places), tie=[p.name for p in block.parameters])
    return chain(block.renamed(f"b{k}.").on(p, n_wires) for k, p in enumerate(places))


def controlled(circuit: Circuit, n_wires: int, control: int, wires: Iterable[int]) -> Circuit:
    """``|0><0| x 1 + |1><1| x U``, exactly: the phase of U relative to the control is kept.

    Args:
        circuit: U, of unitary gates only.
        n_wires: wires of the result.
        control: the controlling wire.
        wires: where U's wires go, in order; not the control.

    Raises:
        ConfigurationError: U prepares, measures or resets, or the wires do not fit.
    """
    to = tuple(wires)
    if control in to or not 0 <= control < n_wires:
        raise ConfigurationError(f"control {control} must be a wire of its own among {n_wires}, beside {to}")
    moved = circuit.on(to, n_wires)
    gates = tuple(new for gate in moved.gates for new in _controlled(gate, control))
    return Circuit(n_wires, gates, moved.parameters)


_PHASES = {G.S: math.pi / 2, G.SDG: -math.pi / 2, G.T: math.pi / 4, G.TDG: -math.pi / 4}
_SANDWICHED = {G.RX: G.CRX, G.RY: G.CRY, G.RZ: G.CRZ}


def _controlled(gate: Gate, c: int) -> list[Gate]:
    name, w = gate.name, gate.wires
    if name in (G.PREPARE, G.MEASURE, G.RESET):
        raise ConfigurationError(f"{name} has no controlled version")
    if name in _SANDWICHED:
        return [Gate(_SANDWICHED[name], (c, *w), gate.angles)]
    if name in _PHASES:
        return _controlled_phase(c, w[0], Angle(offset=_PHASES[name]))
    if name is G.P:
        return _controlled_phase(c, w[0], gate.angle)
    if name in (G.X, G.Z, G.CX):
        return [Gate({G.X: G.CX, G.Z: G.CZ, G.CX: G.CCX}[name], (c, *w))]
    if name is G.Y:  # Y = S X S^dag
        return [Gate(G.SDG, w), Gate(G.CX, (c, *w)), Gate(G.S, w)]
    if name is G.H:  # H = RY(pi/4) Z RY(-pi/4)
        return [_turn(w[0], -math.pi / 4), Gate(G.CZ, (c, *w)), _turn(w[0], math.pi / 4)]
    if name is G.SX:  # SX = exp(i pi/4) RX(pi/2)
        return [Gate(G.P, (c,), (Angle(offset=math.pi / 4),)), Gate(G.CRX, (c, *w), (Angle(offset=math.pi / 2),))]
    if name is G.CZ:
        return [Gate(G.H, w[1:]), Gate(G.CCX, (c, *w)), Gate(G.H, w[1:])]
    if name is G.SWAP:
        return [Gate(G.CX, (w[1], w[0])), Gate(G.CCX, (c, *w)), Gate(G.CX, (w[1], w[0]))]
    if name is G.CRX:  # exact as RZ is turned into RX by H on both sides
        return [Gate(G.H, w[1:]), *_controlled(Gate(G.CRZ, w, gate.angles), c), Gate(G.H, w[1:])]
    if name in (G.CRY, G.CRZ):
        turn, half = (G.RY if name is G.CRY else G.RZ), gate.angle * 0.5
        toffoli = Gate(G.CCX, (c, *w))
        return [Gate(turn, w[1:], (half,)), toffoli, Gate(turn, w[1:], (-half,)), toffoli]
    steps = expand(gate, {name: RULES[name][0]})
    if name is G.CCX:  # its rule is exact, global phase included
        return [new for step in steps for new in _controlled(step, c)]
    # rxx, ryy, rzz: V^dag R V with V left uncontrolled
    middle = len(steps) // 2
    return [*steps[:middle], *_controlled(steps[middle], c), *steps[middle + 1 :]]


def _turn(wire: int, angle: float) -> Gate:
    return Gate(G.RY, (wire,), (Angle(offset=angle),))


def _controlled_phase(c: int, t: int, angle: Angle) -> list[Gate]:
    half = angle * 0.5
    cx = Gate(G.CX, (c, t))
    return [Gate(G.P, (c,), (half,)), Gate(G.P, (t,), (half,)), cx, Gate(G.P, (t,), (-half,)), cx]


def _at_least_one(what: str, count: int) -> None:
    if count < 1:
        raise ConfigurationError(f"{what}: wanted 1 or more, got {count}")
