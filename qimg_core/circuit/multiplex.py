"""State preparation as multiplexed rotations (imports gates, ir; numpy inside functions).

Moettoenen, Vartiainen, Bergholm, Salomaa, "Transformation of quantum states using uniformly
controlled rotations" (2004, arXiv:quant-ph/0407010). A state of k wires needs 2**k - 1 RY when it is
real, as many RZ again when it is complex, and 2**k - 2 CX for each of the two kinds. The gates and
their wires depend on k alone, so all rows of a batch share one circuit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


def n_preparation_angles(n_wires: int, *, complex_state: bool) -> int:
    """Rotations that prepare any state of ``n_wires``."""
    return int(2**n_wires - 1) * (2 if complex_state else 1)


def preparation_gates(wires: Sequence[int], angles: Sequence[Angle], *, complex_state: bool) -> list[Gate]:
    """Gates that take ``|0...0>`` on ``wires`` to a state, up to a global phase.

    Args:
        wires: first wire most significant.
        angles: as many as `n_preparation_angles` says, in the order of `preparation_angles`.
        complex_state: whether the phases are prepared as well.
    """
    gates: list[Gate] = []
    given = iter(angles)
    kinds = (GateName.RY, GateName.RZ) if complex_state else (GateName.RY,)
    for level, target in enumerate(wires):
        for kind in kinds:
            controls = tuple(wires[:level])
            gates += _multiplexed(kind, controls, target, [next(given) for _ in range(2**level)])
    return gates


def preparation_angles(amplitudes: npt.NDArray[Any]) -> FloatArray:
    """Angles of `preparation_gates`, (rows, n_preparation_angles), in radians.

    Args:
        amplitudes: (rows, 2**k), real or complex, each row of norm 1.
    """
    import numpy as np

    rows, size = amplitudes.shape
    n_wires = size.bit_length() - 1
    is_complex = np.iscomplexobj(amplitudes)
    columns: list[FloatArray] = []
    for level in range(n_wires):
        blocks = amplitudes.reshape(rows, 2**level, 2, -1)
        if blocks.shape[-1] == 1 and not is_complex:
            zero, one = blocks[:, :, 0, 0], blocks[:, :, 1, 0]  # signed: the last level carries the signs
        else:
            norms = np.sqrt((np.abs(blocks) ** 2).sum(axis=-1))
            zero, one = norms[:, :, 0], norms[:, :, 1]
        columns.append(_gray(2 * np.arctan2(one, zero)))
        if is_complex:
            phases = np.angle(blocks).mean(axis=-1)
            columns.append(_gray(phases[:, :, 1] - phases[:, :, 0]))
    return np.concatenate(columns, axis=1)


def _multiplexed(name: GateName, controls: Sequence[int], target: int, angles: Sequence[Angle]) -> Iterator[Gate]:
    """One rotation for each Gray code word of the controls, a CX where the word's bit changes."""
    for i, angle in enumerate(angles):
        yield Gate(name, (target,), (angle,))
        if controls:
            flipped = _word(i) ^ _word((i + 1) % len(angles))
            yield Gate(GateName.CX, (controls[len(controls) - flipped.bit_length()], target))


def _word(i: int) -> int:
    return i ^ (i >> 1)


def _gray(alpha: FloatArray) -> FloatArray:
    """Angle per control value -> angle per Gray code word: theta = 2**-l M^T alpha, M_ij = (-1)**(j . g_i)."""
    import numpy as np

    size = alpha.shape[1]
    signs = np.array([[(-1.0) ** (j & _word(i)).bit_count() for j in range(size)] for i in range(size)])
    return np.asarray(alpha @ signs.T / size)
