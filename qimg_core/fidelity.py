"""Average gate fidelity, and channels on single wires that have it (floor 3; imports noise, calibration).

Average and entanglement fidelity of a channel on d dimensions: F_avg = (d F_e + 1) / (d + 1) (Horodecki et al. 1999,
quant-ph/9807091; Nielsen 2002, quant-ph/0205035); randomized benchmarking measures 1 - F_avg (Magesan et al. 2011,
arXiv:1009.3639). F_e = Tr(R) / d**2 with the Pauli transfer matrix R, so it multiplies over wires; over the gates of a
sequence it multiplies up to second order in the errors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qimg_core.noise import Channel, amplitude_damping, dephasing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.calibration import WireFigures


def depolarizing_of(error: float, relaxation: Sequence[float] = (3.0,)) -> float:
    """P of `depolarizing` on each wire of a gate, so that the gate's average infidelity is ``error``.

    With k = 1 - p, and t_w = Tr(R) - 1 of what else happens to wire w, F_e = prod_w (1 + k t_w) / 4.

    Args:
        error: 1 - F_avg of the whole gate, of as many wires as ``relaxation`` is long.
        relaxation: t_w of each wire, see `relaxation_of`; 3 where nothing else happens.

    Returns:
        a number in [0, 1], which is 0 where the relaxation alone is worse than ``error``, and 1 where nothing is left
        of the gate.
    """
    d = 1 << len(relaxation)
    wanted = max(0.0, 1 - error * (d + 1) / d)
    low, high = 0.0, 1.0
    if wanted >= _fidelity(high, relaxation):
        return 0.0
    if wanted <= _fidelity(low, relaxation):
        return 1.0
    if len(relaxation) == 1:
        return 1 - (4 * wanted - 1) / relaxation[0]
    if len(relaxation) == 2:  # a b k**2 + (a + b) k + 1 = 16 F_e
        a, b = relaxation
        root = math.sqrt((a - b) ** 2 + 64 * a * b * wanted)
        return 1 - (root - a - b) / (2 * a * b)
    while high - low > 1e-15:
        middle = (low + high) / 2
        low, high = (middle, high) if _fidelity(middle, relaxation) < wanted else (low, middle)
    return 1 - high


def _fidelity(keep: float, relaxation: Sequence[float]) -> float:
    return math.prod(((1 + keep * t) / 4 for t in relaxation), start=1.0)


def relaxation_of(figures: WireFigures, duration_ns: float | None) -> tuple[tuple[Channel, ...], float]:
    """What T1 and T2 do to a wire meanwhile: channels in order, and Tr(R) - 1 of them together (3 of none).

    T2 above its limit of 2 T1 is taken as 2 T1. Without T2 there is no dephasing, without T1 no damping.
    """
    t = (duration_ns or 0.0) / 1000
    decay = 0.0 if figures.t1_us is None else t / figures.t1_us
    dephase = 0.0 if figures.t2_us is None else max(0.0, t / figures.t2_us - decay / 2)
    channels = []
    if decay:
        channels.append(amplitude_damping(-math.expm1(-decay)))
    if dephase:
        channels.append(dephasing(-math.expm1(-dephase) / 2))
    return tuple(channels), 2 * math.exp(-decay / 2 - dephase) + math.exp(-decay)
