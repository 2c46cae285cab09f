"""Noise models: channels put after gates, and read-out confusion (floor 3; imports errors, circuit).

A channel is stored in the form that computes fastest and leaves no doubt about its convention:
Pauli channels as the four probabilities (I, X, Y, Z), every other channel as Kraus operators. The
named constructors below fix the convention that their docstring states. Only `parse_noise` reaches
beside this floor, into `qimg_core.calibrated_noise`, when the command line names a calibration file.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.circuit.gates import GateName
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Matrix2 = tuple[tuple[complex, complex], tuple[complex, complex]]


@frozen
class Channel:
    """A one-qubit channel: either Pauli probabilities (I, X, Y, Z) or Kraus operators.

    Raises:
        ConfigurationError: probabilities outside [0, 1] or not summing to 1, or Kraus operators
            that do not satisfy sum K^dag K = 1 to 1e-9.
    """

    pauli: tuple[float, float, float, float] | None = None
    kraus: tuple[Matrix2, ...] = ()

    def __attrs_post_init__(self) -> None:
        if (self.pauli is None) == (not self.kraus):
            raise ConfigurationError("a channel is either Pauli probabilities or Kraus operators")
        if self.pauli is not None:
            if min(self.pauli) < -1e-12 or abs(sum(self.pauli) - 1) > 1e-9:
                raise ConfigurationError(f"Pauli probabilities must lie in [0, 1] and sum to 1, got {self.pauli}")
            return
        for i in range(2):
            for j in range(2):
                total = sum(k[r][i].conjugate() * k[r][j] for k in self.kraus for r in range(2))
                if abs(total - (1.0 if i == j else 0.0)) > 1e-9:
                    raise ConfigurationError("Kraus operators must satisfy sum K^dag K = 1")


def depolarizing(p: float) -> Channel:
    """Rho -> (1 - p) rho + p I/2, for p in [0, 4/3]. Equals p/4 each of X, Y, Z.

    PennyLane's ``DepolarizingChannel(q)`` is this with p = 4q/3; Aer's ``depolarizing_error(p, 1)``
    is this one.
    """
    return Channel(pauli=(1 - 0.75 * p, p / 4, p / 4, p / 4))


def dephasing(p: float) -> Channel:
    """Rho -> (1 - p) rho + p Z rho Z, p in [0, 1] (a phase flip with probability p)."""
    return Channel(pauli=(1 - p, 0.0, 0.0, p))


def bit_flip(p: float) -> Channel:
    """Rho -> (1 - p) rho + p X rho X."""
    return Channel(pauli=(1 - p, p, 0.0, 0.0))


def amplitude_damping(gamma: float) -> Channel:
    """``|1>`` decays to ``|0>`` with probability gamma.

    ``K0 = diag(1, sqrt(1 - gamma))``, ``K1 = sqrt(gamma) |0><1|``.

    Raises:
        ConfigurationError: gamma is not in [0, 1].
    """
    if not 0 <= gamma <= 1:
        raise ConfigurationError(f"gamma is a probability, got {gamma}")
    keep, lose = math.sqrt(1 - gamma), math.sqrt(gamma)
    return Channel(kraus=(((1, 0), (0, keep)), ((0, lose), (0, 0))))


def _names(gates: Iterable[str]) -> frozenset[GateName]:
    return frozenset(GateName(name) for name in gates)


def _some_wires(wires: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if wires is None else tuple(int(w) for w in wires)


@frozen
class NoiseRule:
    """Apply ``channel`` after every gate named in ``gates``.

    Args:
        channel: a one-qubit channel, applied to each wire of the gate independently.
        gates: the gates it follows; empty means every unitary gate (``prepare`` is never followed).
        wires: only gates that act on exactly these wires, in any order: ``(0, 1)`` follows a ``cx`` on
            (1, 0) too, and never a ``ccx`` on (0, 1, 2). None: gates anywhere.
        on: only these wires of the gate get the channel. None: each wire of the gate.

    Raises:
        ConfigurationError: wires that are empty, repeated or negative; ``on`` outside ``wires``.
    """

    channel: Channel
    gates: frozenset[GateName] = field(default=frozenset(), converter=_names)
    wires: tuple[int, ...] | None = field(default=None, converter=_some_wires)
    on: tuple[int, ...] | None = field(default=None, converter=_some_wires)

    def __attrs_post_init__(self) -> None:
        for name, chosen in (("wires", self.wires), ("on", self.on)):
            if chosen is not None and (not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0):
                raise ConfigurationError(f"{name} of a noise rule: wanted distinct wires counted from 0, got {chosen}")
        if self.wires is not None and self.on is not None and not set(self.on) <= set(self.wires):
            raise ConfigurationError(f"a noise rule for gates on {self.wires} cannot act on {self.on}")

    def targets(self, name: GateName, wires: Sequence[int]) -> tuple[int, ...]:
        """The wires that the channel acts on after a gate, in the gate's order; none where it does not follow.

        Args:
            name: of the gate.
            wires: of the gate.
        """
        if name is GateName.PREPARE or (self.gates and name not in self.gates):
            return ()
        if self.wires is not None and set(wires) != set(self.wires):
            return ()
        return tuple(w for w in wires if self.on is None or w in self.on)

    def to_json(self) -> dict[str, object]:
        """Without floats; ``wires`` and ``on`` only where they are given, so that digests of old models stay."""
        out: dict[str, object] = {
            "gates": sorted(self.gates),
            "pauli": None if self.channel.pauli is None else [repr(float(p)) for p in self.channel.pauli],
            "kraus": [
                [[[repr(complex(v).real), repr(complex(v).imag)] for v in row] for row in k] for k in self.channel.kraus
            ],
        }
        if self.wires is not None:
            out["wires"] = list(self.wires)
        if self.on is not None:
            out["on"] = list(self.on)
        return out

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NoiseRule:
        pauli: Any = None if document["pauli"] is None else tuple(map(float, document["pauli"]))
        kraus: Any = tuple(
            tuple(tuple(complex(float(a), float(b)) for a, b in row) for row in k) for k in document["kraus"]
        )
        return cls(Channel(pauli, kraus), document["gates"], document.get("wires"), document.get("on"))


def _rules(rules: Iterable[NoiseRule]) -> tuple[NoiseRule, ...]:
    return tuple(rules)


def _words_of(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(words)


def _by_wire(items: Iterable[tuple[int, float, float]]) -> tuple[tuple[int, float, float], ...]:
    return tuple(sorted((int(w), float(one), float(zero)) for w, one, zero in items))


@frozen
class NoiseModel:
    """What disturbs a circuit. Part of the request and of its digest.

    Args:
        rules: applied in order after each gate they name.
        readout: (p(1|0), p(0|1)), the same for each measured wire; None for perfect read-out.
        wire_readout: (wire, p(1|0), p(0|1)) of wires that read differently.
        origin: where the numbers come from, in words; neither part of equality nor of the digest.
    """

    rules: tuple[NoiseRule, ...] = field(default=(), converter=_rules)
    readout: tuple[float, float] | None = None
    wire_readout: tuple[tuple[int, float, float], ...] = field(default=(), converter=_by_wire)
    origin: tuple[str, ...] = field(default=(), converter=_words_of, eq=False)

    def __attrs_post_init__(self) -> None:
        for found in (*(() if self.readout is None else (self.readout,)), *(r[1:] for r in self.wire_readout)):
            if not all(0 <= p <= 1 for p in found):
                raise ConfigurationError(f"read-out errors are probabilities, got {found}")
        wires = [r[0] for r in self.wire_readout]
        if len(set(wires)) != len(wires) or any(w < 0 for w in wires):
            raise ConfigurationError(f"read-out by wire: wanted each wire once, counted from 0, got {wires}")

    def readout_of(self, wire: int) -> tuple[float, float] | None:
        """(p(1|0), p(0|1)) of one wire; None for perfect read-out."""
        return next(((one, zero) for w, one, zero in self.wire_readout if w == wire), self.readout)

    @cached_property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        document = {k: v for k, v in self.to_json().items() if k != "origin"}
        return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()

    def to_json(self) -> dict[str, object]:
        """A document without floats that `from_json` reads back."""
        out: dict[str, object] = {
            "rules": [r.to_json() for r in self.rules],
            "readout": None if self.readout is None else [repr(float(p)) for p in self.readout],
        }
        if self.wire_readout:
            out["wire_readout"] = [[w, repr(one), repr(zero)] for w, one, zero in self.wire_readout]
        if self.origin:
            out["origin"] = list(self.origin)
        return out

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NoiseModel:
        readout = document["readout"]
        return cls(
            tuple(NoiseRule.from_json(item) for item in document["rules"]),
            None if readout is None else tuple(map(float, readout)),  # type: ignore[arg-type]
            document.get("wire_readout", ()),
            document.get("origin", ()),
        )


def parse_noise(text: str) -> NoiseModel:
    """Read the command line's form: ``depolarizing=0.01,dephasing=0.002,damping=0.01,readout=0.02``.

    Every channel follows every gate on each of its wires; ``readout=p`` flips each read bit with
    probability p, ``readout=p/q`` with p(1|0)=p and p(0|1)=q. ``calibration=FILE.json`` makes the model
    of a device's calibration, ``calibration=FILE.json@4/5/7`` with wires 0, 1, 2 on its qubits 4, 5, 7
    (see `qimg_core.calibrated_noise`); words beside it add to it, and ``readout`` replaces its read-out.

    Raises:
        ConfigurationError: an unknown word, a number that is no probability, or a file without a calibration.
    """
    makers = {
        "depolarizing": depolarizing,
        "dephasing": dephasing,
        "bitflip": bit_flip,
        "damping": amplitude_damping,
    }
    rules: list[NoiseRule] = []
    readout: tuple[float, float] | None = None
    calibrated = NoiseModel()
    for item in _words(text):
        name, _, value = item.partition("=")
        try:
            if name == "readout":
                one, _, zero = value.partition("/")
                readout = (float(one), float(zero or one))
            elif name in makers:
                rules.append(NoiseRule(makers[name](float(value))))
            elif name == "calibration":
                from qimg_core.calibrated_noise import noise_from_file

                calibrated = noise_from_file(value)
            else:
                known = ", ".join([*makers, "readout", "calibration"])
                raise ConfigurationError(f"no noise named {name!r}; there are {known}")
        except ValueError as cause:
            raise ConfigurationError(f"noise {item!r} needs a probability, e.g. depolarizing=0.01") from cause
    return NoiseModel(
        (*calibrated.rules, *rules),
        readout or calibrated.readout,
        () if readout else calibrated.wire_readout,
        calibrated.origin,
    )


def _words(text: str) -> Iterable[str]:
    return (word.strip() for word in text.split(",") if word.strip())
