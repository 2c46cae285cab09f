"""Unitary folding: the same circuit with more noise (imports errors, gates, ir).

U -> U (U^dag U)**((f - 1) / 2) for odd f (Giurgica-Tiron et al. 2020, arXiv:2005.10921): without noise nothing changes,
with noise after every gate there is f times as much of it.
"""

from __future__ import annotations

import math

from attrs import evolve

from qimg_core.circuit.gates import NON_UNITARY, GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate
from qimg_core.errors import ConfigurationError

_HALF_X = (Angle(offset=math.pi / 2),)


def fold(circuit: Circuit, factor: int) -> Circuit:
    """The circuit, then its inverse and itself (factor - 1) / 2 times; the same unitary up to a global phase.

    ``sx`` is undone by one ``rx(-pi/2)``, so that each fold has as many gates as the circuit.

    Args:
        circuit: unitary gates only; parameters stay as they are.
        factor: 1, 3, 5, ...

    Raises:
        ConfigurationError: the circuit prepares, measures or resets; an even factor.
    """
    if factor < 1 or factor % 2 == 0:
        raise ConfigurationError(f"folding: wanted an odd factor of 1 or more, got {factor}")
    found = sorted({g.name.value for g in circuit.gates if g.name is GateName.PREPARE or g.name in NON_UNITARY})
    if found:
        raise ConfigurationError(
            f"zero-noise extrapolation folds unitary circuits; this one has {', '.join(found)}, which cannot be undone",
            hint="choose an encoder of rotations, or read-out correction alone",
        )
    turned = [Gate(GateName.RX, g.wires, _HALF_X) if g.name is GateName.SX else g for g in circuit.gates]
    back = evolve(circuit, gates=tuple(turned)).inverse()
    return evolve(circuit, gates=circuit.gates + (back.gates + circuit.gates) * ((factor - 1) // 2))
