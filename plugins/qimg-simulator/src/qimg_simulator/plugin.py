"""What this distribution supplies to qimg (imports qimg_core only, never torch)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """The one device of this plugin."""
    return [
        BackendSpec(
            name="simulator",
            target="qimg_simulator.backend:SimulatorBackend",
            devices="torch or kernels, to insist on an engine; nothing takes compiled kernels where they are installed",
            summary="exact, noisy or sampled simulation in this process; batched and differentiable",
        )
    ]
