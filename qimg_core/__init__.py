"""qimg: train and sample quantum-enhanced image generators on any backend, with a record of every image.

Names are imported when first used; ``import qimg_core`` loads none of numpy, torch, httpx or cryptography.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qimg_core.ansatz import Ansatz
    from qimg_core.backend import Backend, LocalBackend
    from qimg_core.budget import Budget
    from qimg_core.capabilities import Capabilities, DeviceKind, GradientMethod, MeasurementKind
    from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
    from qimg_core.datasets import open_images
    from qimg_core.encoder import Encoder
    from qimg_core.errors import QimgError
    from qimg_core.execution import Cost, ExecutionRecord, ExecutionRequest, Plan, Result
    from qimg_core.generator import Arm, Generator
    from qimg_core.hooks import hookimpl
    from qimg_core.images import Images
    from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
    from qimg_core.noise import NoiseModel
    from qimg_core.observable import Observable
    from qimg_core.pipeline import Pipeline
    from qimg_core.plugins import Registry
    from qimg_core.session import Session

__version__ = "0.1.0"

_WHERE = {
    "qimg_core.ansatz": ["Ansatz"],
    "qimg_core.backend": ["Backend", "LocalBackend"],
    "qimg_core.budget": ["Budget"],
    "qimg_core.capabilities": ["Capabilities", "DeviceKind", "GradientMethod", "MeasurementKind"],
    "qimg_core.circuit": [
        "Angle",
        "Circuit",
        "CircuitBuilder",
        "Gate",
        "GateName",
        "Parameter",
        "PauliString",
        "pauli",
    ],
    "qimg_core.datasets": ["open_images"],
    "qimg_core.encoder": ["Encoder"],
    "qimg_core.errors": ["QimgError"],
    "qimg_core.execution": ["Cost", "ExecutionRecord", "ExecutionRequest", "Plan", "Result"],
    "qimg_core.generator": ["Arm", "Generator"],
    "qimg_core.hooks": ["hookimpl"],
    "qimg_core.images": ["Images"],
    "qimg_core.measurement": ["Expectation", "LocalStates", "Probabilities", "Samples", "State"],
    "qimg_core.noise": ["NoiseModel"],
    "qimg_core.observable": ["Observable"],
    "qimg_core.pipeline": ["Pipeline"],
    "qimg_core.plugins": ["Registry"],
    "qimg_core.session": ["Session"],
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [*_MODULE_OF, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        from importlib import import_module

        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'qimg_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
