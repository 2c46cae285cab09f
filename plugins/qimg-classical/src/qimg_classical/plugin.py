"""What qimg-classical supplies (imports qimg_core only, nothing heavy)."""

from __future__ import annotations

from qimg_core.plugins import BackendSpec, CommandSpec, GeneratorSpec, hookimpl


@hookimpl
def qimg_backends() -> list[BackendSpec]:
    """The classical path."""
    return [
        BackendSpec(
            name="classical",
            target="qimg_classical.backend:ClassicalBackend",
            summary="exact simulation under a size bound, above it a surrogate that says so",
            devices="the file of a surrogate, or nothing",
        )
    ]


@hookimpl
def qimg_generators() -> list[GeneratorSpec]:
    """Baselines without any circuit; their only arm is ``bypass``."""
    return [
        GeneratorSpec(
            name="kde",
            target="qimg_classical.density:DensityGenerator",
            summary="no circuit: a kernel density of the training images' principal components",
        ),
        GeneratorSpec(
            name="mps",
            target="qimg_classical.tensor_generator:TensorGenerator",
            summary="no circuit: a matrix product state as a Born machine over coarse pixels, the classical competitor",
        ),
    ]


@hookimpl
def qimg_commands() -> list[CommandSpec]:
    """``qimg surrogate``."""
    summary = "Fit a classical stand-in for a circuit from recorded proposals."
    return [CommandSpec(name="surrogate", target="qimg_classical.command:surrogate", summary=summary)]
