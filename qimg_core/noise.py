"""Noise models: channels put after gates, and read-out confusion (floor 3; imports errors, circuit).

A channel is stored in the form that computes fastest and leaves no doubt about its convention:
Pauli channels as the four probabilities (I, X, Y, Z), every other channel as Kraus operators. The
named constructors below fix the convention that their docstring states.
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
    from collections.abc import Iterable, Mapping

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


@frozen
class NoiseRule:
    """Apply ``channel`` to each wire of every gate named in ``gates``, after the gate.

    Args:
        channel: a one-qubit channel, applied to each wire of the gate independently.
        gates: the gates it follows; empty means every unitary gate (``prepare`` is never followed).
    """

    channel: Channel
    gates: frozenset[GateName] = field(default=frozenset(), converter=_names)


def _rules(rules: Iterable[NoiseRule]) -> tuple[NoiseRule, ...]:
    return tuple(rules)


@frozen
class NoiseModel:
    """What disturbs a circuit. Part of the request and of its digest.

    Args:
        rules: applied in order after each gate they name.
        readout: (p(1|0), p(0|1)), the same for each measured wire; None for perfect read-out.
    """

    rules: tuple[NoiseRule, ...] = field(default=(), converter=_rules)
    readout: tuple[float, float] | None = None

    def __attrs_post_init__(self) -> None:
        if self.readout is not None and not all(0 <= p <= 1 for p in self.readout):
            raise ConfigurationError(f"read-out errors are probabilities, got {self.readout}")

    @cached_property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        return json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True).encode()

    def to_json(self) -> dict[str, object]:
        """A document without floats that `from_json` reads back."""
        return {
            "rules": [
                {
                    "gates": sorted(r.gates),
                    "pauli": None if r.channel.pauli is None else [repr(float(p)) for p in r.channel.pauli],
                    "kraus": [
                        [[[repr(complex(v).real), repr(complex(v).imag)] for v in row] for row in k]
                        for k in r.channel.kraus
                    ],
                }
                for r in self.rules
            ],
            "readout": None if self.readout is None else [repr(float(p)) for p in self.readout],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> NoiseModel:
        rules = []
        for item in document["rules"]:  # type: ignore[attr-defined]
            pauli: Any = None if item["pauli"] is None else tuple(map(float, item["pauli"]))
            kraus: Any = tuple(
                tuple(tuple(complex(float(a), float(b)) for a, b in row) for row in k) for k in item["kraus"]
            )
            rules.append(NoiseRule(Channel(pauli, kraus), item["gates"]))
        readout = document["readout"]
        return cls(tuple(rules), None if readout is None else tuple(map(float, readout)))  # type: ignore[call-overload, arg-type]


def parse_noise(text: str) -> NoiseModel:
    """Read the command line's form: ``depolarizing=0.01,dephasing=0.002,damping=0.01,readout=0.02``.

    Every channel follows every gate on each of its wires; ``readout=p`` flips each read bit with
    probability p, ``readout=p/q`` with p(1|0)=p and p(0|1)=q.

    Raises:
        ConfigurationError: an unknown word or a number that is no probability.
    """
    makers = {
        "depolarizing": depolarizing,
        "dephasing": dephasing,
        "bitflip": bit_flip,
        "damping": amplitude_damping,
    }
    rules: list[NoiseRule] = []
    readout: tuple[float, float] | None = None
    for item in _words(text):
        name, _, value = item.partition("=")
        try:
            if name == "readout":
                one, _, zero = value.partition("/")
                readout = (float(one), float(zero or one))
            elif name in makers:
                rules.append(NoiseRule(makers[name](float(value))))
            else:
                raise ConfigurationError(f"no noise named {name!r}; there are {', '.join([*makers, 'readout'])}")
        except ValueError as cause:
            raise ConfigurationError(f"noise {item!r} needs a probability, e.g. depolarizing=0.01") from cause
    return NoiseModel(tuple(rules), readout)


def _words(text: str) -> Iterable[str]:
    return (word.strip() for word in text.split(",") if word.strip())
