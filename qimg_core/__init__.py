"""qimg: train and sample quantum-enhanced image generators on any backend, with a record of every image.

Names are imported when first used; ``import qimg_core`` loads none of numpy, torch, httpx or cryptography.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qimg_core.ansatz import Ansatz as Ansatz
    from qimg_core.backend import Backend as Backend
    from qimg_core.backend import LocalBackend as LocalBackend
    from qimg_core.budget import Budget as Budget
    from qimg_core.capabilities import (
        Capabilities as Capabilities,
    )
    from qimg_core.capabilities import (
        DeviceKind as DeviceKind,
    )
    from qimg_core.capabilities import (
        GradientMethod as GradientMethod,
    )
    from qimg_core.capabilities import (
        MeasurementKind as MeasurementKind,
    )
    from qimg_core.circuit import (
        Angle as Angle,
    )
    from qimg_core.circuit import (
        Circuit as Circuit,
    )
    from qimg_core.circuit import (
        CircuitBuilder as CircuitBuilder,
    )
    from qimg_core.circuit import (
        Gate as Gate,
    )
    from qimg_core.circuit import (
        GateName as GateName,
    )
    from qimg_core.circuit import (
        Parameter as Parameter,
    )
    from qimg_core.circuit import (
        PauliString as PauliString,
    )
    from qimg_core.circuit import (
        pauli as pauli,
    )
    from qimg_core.datasets import open_images as open_images
    from qimg_core.encoder import Encoder as Encoder
    from qimg_core.errors import QimgError as QimgError
    from qimg_core.execution import (
        ExecutionRecord as ExecutionRecord,
    )
    from qimg_core.execution import (
        ExecutionRequest as ExecutionRequest,
    )
    from qimg_core.execution import (
        Plan as Plan,
    )
    from qimg_core.execution import (
        Result as Result,
    )
    from qimg_core.generator import Arm as Arm
    from qimg_core.generator import Generator as Generator
    from qimg_core.hooks import hookimpl as hookimpl
    from qimg_core.images import Images as Images
    from qimg_core.job import Cost as Cost
    from qimg_core.job import Intent as Intent
    from qimg_core.measurement import (
        Expectation as Expectation,
    )
    from qimg_core.measurement import (
        LocalStates as LocalStates,
    )
    from qimg_core.measurement import (
        Probabilities as Probabilities,
    )
    from qimg_core.measurement import (
        Samples as Samples,
    )
    from qimg_core.measurement import (
        State as State,
    )
    from qimg_core.mitigation import Mitigation as Mitigation
    from qimg_core.noise import NoiseModel as NoiseModel
    from qimg_core.observable import Observable as Observable
    from qimg_core.pipeline import Pipeline as Pipeline
    from qimg_core.plugins import Registry as Registry
    from qimg_core.session import Session as Session

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
    "qimg_core.execution": ["ExecutionRecord", "ExecutionRequest", "Plan", "Result"],
    "qimg_core.generator": ["Arm", "Generator"],
    "qimg_core.hooks": ["hookimpl"],
    "qimg_core.job": ["Cost", "Intent"],
    "qimg_core.images": ["Images"],
    "qimg_core.measurement": ["Expectation", "LocalStates", "Probabilities", "Samples", "State"],
    "qimg_core.mitigation": ["Mitigation"],
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
