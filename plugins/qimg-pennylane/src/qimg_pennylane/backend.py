"""`PennyLaneBackend`: any PennyLane device as a qimg device (imports qimg_core, numpy, PennyLane)."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pennylane as qml
from attrs import evolve

import qimg_pennylane
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import GradientMethod, Mismatch
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import is_tensor
from qimg_core.job import RawResult, Snapshot
from qimg_core.measurement import Samples, State
from qimg_core.seeds import derive_seed
from qimg_pennylane.adjoint import vjp
from qimg_pennylane.devices import DEFAULT, facts_of, make_device
from qimg_pennylane.exact import exact
from qimg_pennylane.executing import Runner
from qimg_pennylane.sampled import sampled
from qimg_pennylane.tapes import Template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import JSON
    from qimg_pennylane.devices import DeviceFacts


class PennyLaneBackend(LocalBackend):
    """One PennyLane device.

    Args:
        device: PennyLane's name of it (``"default.mixed"``); ``""`` is lightning.qubit.
        options: given to ``qml.device`` as they are, such as ``{"c_dtype": np.complex64}`` or a provider's own.
        facts: what you know of a device that this plugin does not; replaces its claims.

    Raises:
        UnknownName: no such device is installed.
        ConfigurationError: a device that is of no use here.
        PluginIncompatible, PluginLoadError: it needs a package that is not installed, or its import fails.
    """

    def __init__(
        self, device: str = "", *, options: Mapping[str, Any] | None = None, facts: DeviceFacts | None = None
    ) -> None:
        super().__init__()
        self.name = f"pennylane:{device}" if device else "pennylane"
        self.facts = facts_of(device) if facts is None else evolve(facts, name=device or DEFAULT)
        self._options = dict(options or {})
        self._capabilities = self.facts.capabilities()
        if self.facts.local:
            make_device(self.facts, 1, seed=None, options=self._options)  # say now what is not installed

    @property
    def capabilities(self) -> Capabilities:
        """By `qimg_pennylane.devices`; an unknown device claims the least."""
        return self._capabilities

    def snapshot(self) -> Snapshot:
        """Versions and options of the device; option values that are text are left out, they may be secret."""
        entry = qml.plugin_devices.get(self.facts.name)
        distribution = getattr(getattr(entry, "dist", None), "name", None)
        plain = (bool, int, float, type, type(None))
        options = {k: repr(v) if isinstance(v, plain) else "given" for k, v in sorted(self._options.items())}
        data: dict[str, JSON] = {
            "device": self.facts.name,
            "qimg-pennylane": qimg_pennylane.__version__,
            "pennylane": str(qml.__version__),
            "options": {**options},
            "threads": os.environ.get("OMP_NUM_THREADS", "the library's own choice"),
        }
        if distribution and distribution != "pennylane":
            data[distribution] = _version(distribution)
        if self.facts.local:
            data["precision"] = "complex64" if "complex64" in options.get("c_dtype", "") else "complex128"
        return Snapshot(device=self.facts.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def run(self, request: ExecutionRequest) -> RawResult:
        """Compute the whole request.

        With shots every setting (see `qimg_core.settings`) of every row is drawn by the device with that many
        shots, from the request's seed.

        Raises:
            CapabilityError: something outside `capabilities`, or that the device itself refuses.
            DataError: amplitudes of norm other than 1, or nothing to measure.
            JobFailed: a device of this process failed.
            SubmissionUncertain: a device that may be remote failed.
            ResultError: numbers that are not finite, or another number of shots than was asked.
        """
        template = self._checked(request)
        runner = self._runner(request)
        engine: dict[str, JSON] = {"engine": self.facts.name}
        if request.shots is None:
            data = exact(request, template, self.facts, runner, self.name)
            return RawResult(data=data, shots=None, sampling="none", provider=engine)
        data, digest, document = sampled(request, template, self.facts, runner, self.name)
        raw = None
        if not self.facts.local and document:
            raw, digest = _canonical(document)
        return RawResult(data=data, shots=request.shots, raw_digest=digest, raw=raw, sampling="native", provider=engine)

    def vjp(self, request: ExecutionRequest, cotangent: Any) -> tuple[Any, Any]:
        """Adjoint derivatives: one pass per row, however many numbers the measurement has.

        Raises:
            CapabilityError: the device has no adjoint method, or the request is not exact.
            DataError: a cotangent that does not fit.
        """
        if GradientMethod.ADJOINT not in self._capabilities.gradients:
            return super().vjp(request, cotangent)
        return vjp(request, cotangent, self._checked(request), self._runner(request), self.name)

    def _runner(self, request: ExecutionRequest) -> Runner:
        seed = None if request.seed is None else derive_seed(request.seed, "pennylane", "shots")
        return Runner(self.facts, self.name, request.circuit.n_wires, seed=seed, options=self._options)

    def _checked(self, request: ExecutionRequest) -> Template:
        found = list(self._capabilities.check(request))
        if is_tensor(request.inputs) or is_tensor(request.weights):
            found.append(Mismatch("arrays", "torch tensors", "numpy arrays"))
        if request.shots is None and isinstance(request.measurement, Samples):
            found.append(Mismatch("shots", "samples without a number of shots", "1 or more"))
        if request.shots is not None and isinstance(request.measurement, State):
            found.append(Mismatch("shots", f"a state from {request.shots} shots", "a state without shots"))
        if found:
            raise CapabilityError(self.name, found)
        if not isinstance(request.measurement, State) and request.measurement.width == 0:
            raise DataError(f"{request.measurement.kind}: wanted one term or window at least, got none")
        return Template(request.circuit, request.noise)


def _canonical(document: dict[str, Any]) -> tuple[bytes, str]:
    """The draws as bytes, and their digest."""
    raw = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return raw, "sha256:" + hashlib.sha256(raw).hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed as a distribution"
