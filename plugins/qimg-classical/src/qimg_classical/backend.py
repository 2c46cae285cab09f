"""`ClassicalBackend`: exact simulation under a size bound, a labelled surrogate above (imports qimg_core).

The simulator, and with it torch, is imported when the device is made.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from attrs import evolve

from qimg_classical.bounds import ClassicalCapabilities, capabilities_of, exact_wires
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import DeviceKind
from qimg_core.errors import CapabilityError
from qimg_core.job import RawResult, Snapshot

if TYPE_CHECKING:
    from qimg_classical.surrogate import Surrogate
    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import JSON


class ClassicalBackend(LocalBackend):
    """The classical path as a device. Every result says which way it was computed.

    Args:
        device: path of a surrogate's file, or nothing.
        max_wires: the size bound; None takes ``QIMG_CLASSICAL_MAX_WIRES`` from the environment, else 12. 0 leaves
            everything to the surrogate.

    Raises:
        ConfigurationError: the bound is no number of wires that the simulator takes.
        WeightsError: the file is no surrogate, or was changed since it was written.
    """

    name = "classical"

    def __init__(self, device: str = "", *, max_wires: int | None = None) -> None:
        super().__init__()
        from qimg_simulator.backend import MAX_NOISY_WIRES, SimulatorBackend

        self._simulator = SimulatorBackend()
        claims = self._simulator.capabilities
        exact = exact_wires(max_wires, claims.max_wires)
        surrogate: Surrogate | None = None
        if device:
            from qimg_classical.surrogate_file import load

            self.name = f"classical:{device}"
            surrogate = load(device)
        self._capabilities = capabilities_of(claims, exact=exact, noisy=MAX_NOISY_WIRES, surrogate=surrogate)

    @property
    def capabilities(self) -> ClassicalCapabilities:
        """Its kind is the weakest claim that is true: ``surrogate`` as soon as one is loaded."""
        return self._capabilities

    @property
    def surrogate(self) -> Surrogate | None:
        """The loaded surrogate."""
        return self._capabilities.surrogate

    def snapshot(self) -> Snapshot:
        """The simulator's versions and precision, the bound, and the surrogate by its digest."""
        exact, s = self._simulator.snapshot(), self.surrogate
        import qimg_classical

        stand_in: JSON = None
        if s is not None:
            stand_in = {"digest": s.digest, "circuit": s.function.circuit, "error": s.error.to_json()}
        data: dict[str, JSON] = {
            **exact.data,
            "qimg-classical": qimg_classical.__version__,
            "exact_wires": self._capabilities.exact_wires,
            "surrogate": stand_in,
        }
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def run(self, request: ExecutionRequest) -> RawResult:
        """Simulate, or ask the surrogate.

        A surrogate gives its estimate: where shots were asked it takes none, adds no noise of its own, and says so.

        Raises:
            CapabilityError: too large to simulate, and no surrogate for just this circuit, measurement and weights.
            DataError: as the simulator.
        """
        if found := self._capabilities.check(request):
            raise CapabilityError(self.name, found)
        s = self.surrogate
        if s is None or self._capabilities.is_exact(request):
            raw = self._simulator.run(request)
            return evolve(raw, kind=DeviceKind.SIMULATOR, provider={"path": "exact simulation", **raw.provider})
        provider: dict[str, JSON] = {"path": "surrogate", "surrogate": s.digest}
        if beyond := s.extrapolates(request.inputs):
            provider["extrapolates"] = f"{beyond} rows"
        return RawResult(
            data=s.estimate(request.inputs),
            shots=None,
            sampling="none",
            kind=DeviceKind.SURROGATE,
            error=s.account(request),
            provider=provider,
        )
