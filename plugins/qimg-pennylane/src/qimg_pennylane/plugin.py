"""What qimg-pennylane supplies (imports qimg_core only, never PennyLane)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """PennyLane's devices, one driver for all."""
    return [
        BackendSpec(
            name="pennylane",
            target="qimg_pennylane.backend:PennyLaneBackend",
            summary="PennyLane devices: lightning.qubit with adjoint gradients, default.mixed with noise",
            requires=("pennylane>=0.44,<0.46", "pennylane-lightning>=0.44,<0.46"),
            devices="a PennyLane device, e.g. pennylane:default.mixed; the bare name is lightning.qubit",
        )
    ]
