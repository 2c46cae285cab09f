"""Pauli strings: what an expectation value is taken of (imports errors only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Pauli = Literal["X", "Y", "Z"]


def _factors(pairs: Iterable[tuple[int, Pauli]]) -> tuple[tuple[int, Pauli], ...]:
    return tuple(sorted((int(w), p) for w, p in pairs))


@frozen
class PauliString:
    """A weighted product of Paulis: ``PauliString([(0, "Z"), (2, "X")])``. Empty means identity."""

    factors: tuple[tuple[int, Pauli], ...] = field(converter=_factors)
    coefficient: float = field(default=1.0, converter=float)

    def __attrs_post_init__(self) -> None:
        wires = [w for w, _ in self.factors]
        if len(set(wires)) != len(wires) or any(w < 0 for w in wires) or any(p not in "XYZ" for _, p in self.factors):
            raise ConfigurationError(f"a Pauli string takes X, Y or Z once per wire, got {self.factors}")

    @property
    def wires(self) -> tuple[int, ...]:
        return tuple(w for w, _ in self.factors)

    def __str__(self) -> str:
        word = " ".join(f"{p}{w}" for w, p in self.factors) or "I"
        return word if self.coefficient == 1.0 else f"{self.coefficient!r} * {word}"


def pauli(word: str, coefficient: float = 1.0) -> PauliString:
    """Read ``"Z0 X2"``; letters may be lower case, ``"I"`` is the identity."""
    factors: list[tuple[int, Pauli]] = []
    for item in word.split():
        letter = item[0].upper()
        if letter == "I":
            continue
        if letter not in "XYZ" or not item[1:].isdigit():
            raise ConfigurationError(f"wanted a Pauli word such as 'Z0 X2', got {word!r}")
        factors.append((int(item[1:]), letter))  # type: ignore[arg-type]
    return PauliString(tuple(factors), coefficient)


def each(letter: Pauli, wires: Iterable[int]) -> tuple[PauliString, ...]:
    """The same Pauli on each wire alone: ``each("Z", range(3))``."""
    return tuple(PauliString(((w, letter),)) for w in wires)
