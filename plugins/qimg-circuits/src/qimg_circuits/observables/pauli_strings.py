"""Expectation values of Pauli strings (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_circuits.observables.base import StandardObservable, check_data
from qimg_core.circuit import PauliString, pauli
from qimg_core.errors import ConfigurationError
from qimg_core.measurement import Expectation

if TYPE_CHECKING:
    from collections.abc import Iterable


def _terms(terms: Iterable[PauliString | str]) -> tuple[PauliString, ...]:
    return tuple(pauli(t) if isinstance(t, str) else t for t in terms)


@frozen
class PauliStrings(StandardObservable):
    """One feature for each term: coefficient times <P>. Nothing is trained.

    Args:
        terms: Pauli strings, or words such as ``"Z0 X2"``.
    """

    terms: tuple[PauliString, ...] = field(converter=_terms)

    def __attrs_post_init__(self) -> None:
        if not self.terms:
            raise ConfigurationError("wanted one Pauli string or more, such as 'Z0'")

    @property
    def measurement(self) -> Expectation:
        return Expectation(self.terms)

    @property
    def n_features(self) -> int:
        return len(self.terms)

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """(rows, terms), as measured."""
        return check_data(data, len(self.terms), "Pauli strings")
