"""`States`: pure states as a generator's output; `StateEnsemble`: the ones it learns (imports qimg_core, numpy).

Both can be looked at: the picture of a state is its density matrix, one pixel an entry, so a state has the same
picture whatever its global phase. Everything that keeps, shows or repeats images keeps, shows and repeats states too.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, field, frozen

from qimg_core.datasets import ImageSource
from qimg_core.errors import DataError
from qimg_core.images import Images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.float32]

NORM = 1e-6
"""How far a squared norm may be from 1."""


def checked(value: Any) -> Complex:
    """Unit vectors complex128 (n, 2**wires), a read-only copy.

    Raises:
        DataError: another shape, NaN, or norms other than 1.
    """
    array = np.array(value, dtype=np.complex128)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2 or array.shape[1] & (array.shape[1] - 1):
        raise DataError(f"states: wanted amplitudes (n, 2**wires) of one state or more, got {array.shape}")
    off = np.abs((np.abs(array) ** 2).sum(1) - 1)
    if not np.all(off < NORM):  # NaN is refused too
        raise DataError(f"states: state {int(np.argmax(off))} has no norm of 1", hint="divide each row by its norm")
    array.flags.writeable = False
    return array


def pictures(states: Complex) -> Floats:
    """Amplitudes (n, d) -> pixels (n, d, d, 3) in [0, 1]: red (1 + Re rho)/2, green (1 + Im rho)/2, blue |rho|.

    rho = |psi><psi|, row i and column j of the picture are <i|rho|j>.
    """
    rho = states[:, :, None] * states[:, None].conj()
    parts = [(1 + rho.real) / 2, (1 + rho.imag) / 2, np.abs(rho)]
    out: Floats = np.clip(np.stack(parts, -1), 0, 1).astype(np.float32)
    return out


@frozen(kw_only=True, eq=False)
class States(Images):
    """Pure states, and `Images` of them: see `pictures`.

    Args:
        amplitudes: complex128 (n, 2**wires) of norm 1, wire 0 the most significant bit; a read-only copy.

    Raises:
        DataError: another shape, NaN, norms other than 1, or as many pictures as there are no states.
    """

    amplitudes: Complex = field(converter=checked, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if len(self.amplitudes) != len(self):
            raise DataError(f"{len(self.amplitudes)} states but {len(self)} pictures")

    @classmethod
    def of(cls, amplitudes: Any, *, quantum: bool = False, simulated: bool = False) -> Self:
        """States with their pictures."""
        array = checked(amplitudes)
        return cls(amplitudes=array, pixels=pictures(array), quantum=quantum, simulated=simulated)

    def __getitem__(self, which: int | slice | Sequence[int]) -> States:
        """Some of the states, as `Images.__getitem__`."""
        if isinstance(which, slice):
            chosen = list(range(len(self)))[which]
        else:
            asked = [which] if hasattr(which, "__index__") else which
            chosen = [range(len(self))[i] for i in asked]
        return evolve(self, pixels=self.pixels[chosen], amplitudes=self.amplitudes[chosen])


@frozen(kw_only=True, eq=False)
class StateEnsemble(ImageSource):
    """Pure states to learn, of one number of wires, in a fixed order.

    Args:
        title: short, for people.
        states: complex128 (n, 2**wires) of norm 1.
        facts: JSON without floats: where they come from.

    Raises:
        DataError: another shape, NaN, or norms other than 1.
    """

    title: str
    states: Complex = field(converter=checked, repr=False)
    facts: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The title."""
        return self.title

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over a head line ``qimg.states/1 n d`` and the amplitudes, little-endian complex128."""
        n, d = self.states.shape
        head = f"qimg.states/1 {n} {d}\n".encode()
        return "sha256:" + hashlib.sha256(head + self.states.astype("<c16").tobytes()).hexdigest()

    @property
    def wires(self) -> int:
        """log2 of the number of amplitudes."""
        return int(self.states.shape[1]).bit_length() - 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture."""
        return self.states.shape[1], self.states.shape[1], 3

    @property
    def n(self) -> int:
        """How many states."""
        return len(self.states)

    @property
    def labels(self) -> None:
        """States have no classes."""
        return

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The facts."""
        return self.facts

    def images(self, indices: Any) -> Floats:
        """The `pictures` of the states asked for."""
        return pictures(self.states[np.asarray(indices, dtype=np.int64)])
