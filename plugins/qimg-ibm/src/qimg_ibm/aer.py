"""`AerBackend`, the device ``ibm:aer``: Qiskit Aer as an exact or sampling simulator (imports qimg_core, local, noise).

A second opinion on every number: another engine, another team. Statevectors without noise, density matrices with it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind, Mismatch
from qimg_core.circuit.ir import Circuit
from qimg_core.errors import CapabilityError
from qimg_core.job import RawResult, Snapshot
from qimg_core.measurement import Samples, State
from qimg_core.settings import Outcomes, bound, read, rotated, settings_for
from qimg_ibm.local import from_counts, run_aer, versions
from qimg_ibm.noise import confused, noisy, readout_model
from qimg_ibm.walker import GATES, to_qiskit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_core.settings import Setting

MAX_WIRES = 20
MAX_NOISY_WIRES = 10


class AerBackend(LocalBackend):
    """Aer in this process: a classical simulator, free, seeded."""

    name = "ibm:aer"

    @property
    def capabilities(self) -> Capabilities:
        """Everything but mid-circuit measurement; with noise at most `MAX_NOISY_WIRES` wires."""
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=MAX_WIRES,
            gates=GATES,
            measurements=frozenset(MeasurementKind),
            analytic=True,
            shots=(1, None),
            max_window=4,
            noise=True,
            seeded=True,
            billing=Billing.FREE,
        )

    def snapshot(self) -> Snapshot:
        """Versions and precision."""
        return Snapshot(
            device=self.name,
            taken_at=dt.datetime.now(dt.UTC),
            data={**versions(), "precision": "complex128", "engine": "qiskit-aer, a classical simulator"},
        )

    def run(self, request: ExecutionRequest) -> RawResult:
        """Compute the whole request.

        Exact numbers come from the distribution of each measurement setting. With shots, Aer samples each
        setting that many times; terms that agree wire by wire share the shots of a setting.

        Raises:
            CapabilityError: something outside `capabilities`, or noise on too many wires.
            JobFailed: Aer could not run it, for example for lack of memory.
        """
        self._check(request)
        rows = request.circuit.values(request.inputs, request.weights)
        circuits = [bound(request.circuit, row) for row in rows]
        facts = {"method": _method(request)}
        if isinstance(request.measurement, State):
            return RawResult(data=self._states(request, circuits), shots=None, sampling="none", provider=facts)
        settings = settings_for(request.measurement)
        if request.shots is None:
            data = read(request.measurement, settings, self._exact(request, circuits, settings))
            return RawResult(data=data, shots=None, sampling="none", provider=facts)
        tables = [self._counts(request, circuits, s, k) for k, s in enumerate(settings)]
        data, digest = from_counts(request, settings, tables)
        return RawResult(data=data, shots=request.shots, raw_digest=digest, sampling="native", provider=facts)

    def _check(self, request: ExecutionRequest) -> None:
        found = list(self.capabilities.check(request))
        n = request.circuit.n_wires
        if request.noise is not None and n > MAX_NOISY_WIRES:
            found.append(Mismatch("wires", f"{n} with noise", f"up to {MAX_NOISY_WIRES} with noise"))
        if request.shots is None and isinstance(request.measurement, Samples):
            found.append(Mismatch("shots", "samples without a number of shots", "1 or more"))
        if request.shots is not None and isinstance(request.measurement, State):
            found.append(Mismatch("shots", f"a state from {request.shots} shots", "a state without shots"))
        if found:
            raise CapabilityError(self.name, found)

    def _circuits(self, request: ExecutionRequest, circuits: list[Circuit], setting: Setting | None) -> list[Any]:
        """Qiskit's circuits, with noise where it is asked, turned into a setting's bases."""
        basis = Circuit(request.circuit.n_wires)
        basis = basis if setting is None else rotated(basis, setting)
        if request.noise is not None:
            return [noisy(c, request.noise, basis) for c in circuits]
        return [to_qiskit(c.then(basis)) for c in circuits]

    def _exact(self, request: ExecutionRequest, circuits: list[Circuit], settings: Sequence[Setting]) -> list[Outcomes]:
        """Distributions of every setting: each row is computed once, turned into each setting's bases and back."""
        import numpy as np
        import qiskit_aer.library  # noqa: F401  adds save_probabilities to QuantumCircuit

        made = self._circuits(request, circuits, None)
        for k, setting in enumerate(settings):
            basis = rotated(Circuit(request.circuit.n_wires), setting)
            there, back = to_qiskit(basis), to_qiskit(basis.inverse())
            little = list(reversed(setting.wires))  # little-endian over these is big-endian over ours
            for circuit in made:
                circuit.compose(there, inplace=True)
                circuit.save_probabilities(little, label=f"setting{k}")
                circuit.compose(back, inplace=True)
        found = run_aer(made, method=_method(request), seed=None)
        tables = [
            np.stack([np.asarray(d[f"setting{k}"], dtype=np.float64) for d in found]) for k in range(len(settings))
        ]
        return [Outcomes.dense(confused(t, request.noise, s.wires)) for t, s in zip(tables, settings, strict=True)]

    def _counts(
        self, request: ExecutionRequest, circuits: list[Circuit], setting: Setting, position: int
    ) -> list[dict[str, int]]:
        from qiskit import ClassicalRegister

        from qimg_core.seeds import derive_seed

        made = self._circuits(request, circuits, setting)
        for circuit in made:
            register = ClassicalRegister(len(setting.wires), "c")
            circuit.add_register(register)
            circuit.measure(list(setting.wires), list(register))
        seed = None if request.seed is None else derive_seed(request.seed, "setting", position)
        noise = readout_model(request.noise, setting.wires)
        found = run_aer(made, method=_method(request), seed=seed, shots=request.shots, noise=noise)
        return [d["counts"] for d in found]

    def _states(self, request: ExecutionRequest, circuits: list[Circuit]) -> Any:
        """(rows, 2**n) amplitudes, or (rows, 2**n, 2**n) density matrices, wire 0 most significant."""
        import numpy as np
        import qiskit_aer.library  # noqa: F401  adds save_statevector and save_density_matrix to QuantumCircuit

        n, mixed = request.circuit.n_wires, request.noise is not None
        made = self._circuits(request, circuits, None)
        for circuit in made:
            circuit.save_density_matrix() if mixed else circuit.save_statevector()
        found = run_aer(made, method=_method(request), seed=None)
        key = "density_matrix" if mixed else "statevector"
        table = np.stack([np.asarray(d[key], dtype=np.complex128) for d in found])
        shape = (len(table), *(2,) * (2 * n if mixed else n))
        axes = [0, *range(n, 0, -1), *(range(2 * n, n, -1) if mixed else ())]
        return table.reshape(shape).transpose(axes).reshape(table.shape)


def _method(request: ExecutionRequest) -> str:
    return "statevector" if request.noise is None else "density_matrix"
