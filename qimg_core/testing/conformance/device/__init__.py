"""The cases for devices, C1 to C22, in the order in which they are run."""

from qimg_core.testing.conformance.device import (
    claims,
    crashes,
    faults,
    gates,
    gradients,
    life,
    noise,
    parameters,
    readout,
    record,
    secret,
    shots,
    wires,
)

_MODULES = (
    wires,
    parameters,
    gates,
    readout,
    noise,
    shots,
    claims,
    life,
    crashes,
    faults,
    record,
    secret,
    gradients,
)
CASES = tuple(
    sorted(
        (c for m in _MODULES for c in m.CASES),
        key=lambda c: int(c.id.partition(".")[0][1:]),
    )
)

__all__ = ["CASES"]
