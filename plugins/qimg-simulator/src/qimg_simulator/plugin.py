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
            summary="exact, noisy or sampled simulation in this process; batched and differentiable",
        )
    ]
