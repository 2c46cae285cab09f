"""What qimg-ionq supplies (imports nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """One driver for all devices behind IonQ's interface."""
    return [
        BackendSpec(
            name="ionq",
            target="qimg_ionq.backend:IonQBackend",
            summary="IonQ's simulator and trapped-ion QPUs by REST v0.4; rehearse with qimg_ionq.testing.FakeIonQ",
            remote=True,
            metered=True,
            devices="simulator, simulator:MODEL (noise of aria-1, forte-1, ...), qpu.NAME, or qpu.NAME:debiasing",
        )
    ]
