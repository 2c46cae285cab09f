"""Amplitude encoding: a normalised vector is the state (imports qimg_core)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_circuits.arrays import at_least, check_batch, namespace
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import DataError

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class AmplitudeEncoder(StandardEncoder):
    """x -> sum_i x_i / |x| |i> on ceil(log2(size)) wires, wire 0 the most significant bit of i.

    Missing amplitudes are 0. The norm is lost: carry it classically where it matters. Preparing the
    state takes of the order of 2**n gates on hardware.

    Args:
        size: length of the vector, 2 or more.
        complex_input: the vector is complex: (rows, 2 * size) holds all real parts, then all
            imaginary parts, as a network gives them; a complex array (rows, size) is taken as well.
    """

    size: int
    complex_input: bool = False

    def __attrs_post_init__(self) -> None:
        at_least(self.size, 2, "size")

    @property
    def n_wires(self) -> int:
        """ceil(log2(size))."""
        return (self.size - 1).bit_length()

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_wires)
        names = ("re", "im") if self.complex_input else ("a",)
        angles = tuple(b.input(f"{name}{i}") for name in names for i in range(2**self.n_wires))
        return b.gate("prepare", *range(self.n_wires), angles=angles).build()

    @property
    def n_features(self) -> int:
        return self.size * (2 if self.complex_input else 1)

    @property
    def normalisation_loss(self) -> float:
        """1 / n_features: one real number, the norm, of so many."""
        return 1.0 / self.n_features

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_features) -> (rows, 2**n or 2 * 2**n) of norm 1, padded with zeros.

        Raises:
            DataError: the wrong shape, NaN, or a row of zeros, which has no direction.
        """
        xp = namespace(batch)
        if self.complex_input and "complex" in str(getattr(batch, "dtype", "")):
            check_batch(batch, self.size, "amplitude encoding of complex rows")
            batch = xp.concatenate([batch.real, batch.imag], 1)
        if "complex" in str(getattr(batch, "dtype", "")):
            raise DataError("amplitude encoding: got complex data; ask for complex_input=True")
        check_batch(batch, self.n_features, "amplitude encoding")
        norm = ((batch * batch).sum(1) ** 0.5)[:, None]
        if not bool((norm > 0).all()):
            raise DataError("amplitude encoding: a row of zeros has no direction and cannot be a state")
        unit = batch / norm
        missing = 2**self.n_wires - self.size
        if not missing:
            return unit
        pad = xp.concatenate([xp.zeros_like(unit[:, :1])] * missing, 1)
        parts = [unit[:, : self.size], pad]
        if self.complex_input:
            parts += [unit[:, self.size :], pad]
        return xp.concatenate(parts, 1)
