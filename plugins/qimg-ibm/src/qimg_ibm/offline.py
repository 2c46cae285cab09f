"""Devices that the SDK carries as snapshots, and their noise on the qubits in use (imports errors; the SDK inside).

The noise is Aer's own reading of a device (`NoiseModel.from_backend`): after each gate a depolarising and a
thermal relaxation channel. Read-out errors are the calibrated pair of each qubit; Aer would take their mean, and
then a read 1 would be as likely wrong as a read 0. Aer is given only the qubits that a circuit touches, renumbered:
a model of all 156 qubits takes ten seconds to make and slows every run down, and what idle qubits do does not
matter, because nothing acts on them.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.errors import UnknownName
from qimg_ibm.local import run_aer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from qimg_ibm.isa import Isa

DENSE_QUBITS = 10
"""Up to here the distribution is computed exactly as a density matrix and then sampled; above, shot by shot."""


def known_devices() -> dict[str, Any]:
    """The SDK's device classes by name, such as ``fake_guadalupe``."""
    from qiskit_ibm_runtime import fake_provider

    classes: list[Any] = [c for c in vars(fake_provider).values() if hasattr(c, "backend_name")]
    return {c.backend_name: c for c in classes}


def open_snapshot(name: str) -> Any:
    """One of them.

    Raises:
        UnknownName: the SDK has no such device; the nearest is offered.
    """
    found = known_devices()
    if name not in found:
        raise UnknownName("device of qiskit-ibm-runtime", name, found)
    return found[name]()


def documents(backend: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and properties of such a device, as the SDK's own files have them."""
    folder = Path(backend.dirname)
    return tuple(json.loads((folder / f).read_text()) for f in (backend.conf_filename, backend.props_filename))  # type: ignore[return-value]


class NoisyDevice:
    """Runs transpiled circuits with a device's noise. Safe for several threads.

    Args:
        target: the device's `qiskit.transpiler.Target`.
        readout: (p(1|0), p(0|1)) by qubit; empty for none.
        noise: False: as if it were perfect.
    """

    def __init__(self, target: Any, readout: Mapping[int, tuple[float, float]], *, noise: bool = True) -> None:
        self.target, self.readout, self.noise = target, dict(readout), noise
        self._models: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()

    def method(self, qubits: Sequence[int]) -> str:
        """How Aer computes circuits on these qubits."""
        return "density_matrix" if self.noise and len(qubits) <= DENSE_QUBITS else "statevector"

    def run(
        self, isa: Any, qubits: Sequence[int], table: npt.NDArray[np.float64], *, shots: int, seed: int | None
    ) -> list[dict[str, int]]:
        """Counts of one circuit, for each row of parameter values.

        Args:
            isa: in the device's instructions, with open parameters.
            qubits: that it touches, in ascending order.
            table: (rows, parameters of ``isa``), in its order.
            shots: of each row.
            seed: names the streams.

        Returns:
            for each row, Aer's counts: hexadecimal numbers whose bit j is classical bit j.
        """
        small = restricted(isa, qubits)
        model = self.model(qubits)
        circuits = [small.assign_parameters(dict(zip(small.parameters, row, strict=True))) for row in table]
        found = run_aer(circuits, method=self.method(qubits), seed=seed, shots=shots, noise=model)
        return [d["counts"] for d in found]

    def model(self, qubits: Sequence[int]) -> Any:
        """Aer's noise model of these qubits, renumbered; None without noise."""
        return self._model(tuple(qubits)) if self.noise else None

    def _model(self, qubits: tuple[int, ...]) -> Any:
        from qiskit_aer.noise import NoiseModel, ReadoutError

        with self._lock:
            if qubits not in self._models:
                model = NoiseModel.from_backend(part_of(self.target, qubits), readout_error=False)
                for place, qubit in enumerate(qubits):
                    if qubit in self.readout:
                        p10, p01 = self.readout[qubit]
                        model.add_readout_error(ReadoutError([[1 - p10, p10], [p01, 1 - p01]]), [place])
                self._models[qubits] = model
            return self._models[qubits]


def of_rows(isa: Isa, device: NoisyDevice, values: Any, *, shots: int, seed: int | None) -> list[dict[str, int]]:
    """`NoisyDevice.run` of a compiled circuit with values of all of qimg's parameters."""
    return device.run(isa.circuit, isa.qubits, isa.values(values), shots=shots, seed=seed)


def restricted(isa: Any, qubits: Sequence[int]) -> Any:
    """The circuit on the qubits that it touches, renumbered in their order; classical bits stay."""
    from qiskit import QuantumCircuit

    place = {q: k for k, q in enumerate(qubits)}
    out = QuantumCircuit(len(qubits))
    for register in isa.cregs:
        out.add_register(register)
    where = {bit: k for k, bit in enumerate(isa.qubits)}
    for item in isa.data:
        wires = [place[where[q]] for q in item.qubits if where[q] in place]
        if item.operation.name != "barrier":
            out.append(item.operation, wires, list(item.clbits))
    return out


FRACTIONAL = frozenset({"rx", "rzz"})
"""Gates that recent devices have besides ``sx`` and ``cz``, for some angles only; the service leaves them out too."""


def part_of(target: Any, qubits: Sequence[int] | None = None) -> Any:
    """A Qiskit backend with only these qubits of a target, renumbered, and all that the device says about them.

    Args:
        target: of the device.
        qubits: in their new order; None for all.
    """
    from qiskit.transpiler import Target

    chosen = range(target.num_qubits) if qubits is None else qubits
    place = {q: k for k, q in enumerate(chosen)}
    facts = target.qubit_properties
    kept_facts = [facts[q] for q in chosen] if facts else None
    small = Target(num_qubits=len(place), dt=target.dt, qubit_properties=kept_facts)
    unwanted = FRACTIONAL if {"sx", "cz"} <= set(target.operation_names) else frozenset()
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isinstance(operation, type) or name in unwanted:  # a type: control flow, which has no noise
            continue
        kept = {tuple(place[q] for q in at): p for at, p in target[name].items() if at and all(q in place for q in at)}
        if kept:
            small.add_instruction(operation, kept, name=name)
    return _backend_of(small)


def _backend_of(whole: Any) -> Any:
    from qiskit.providers import BackendV2, Options

    class Part(BackendV2):  # type: ignore[misc]
        """Nothing but a target: for the transpiler and for Aer's noise."""

        max_circuits = None

        @property
        def target(self) -> Any:
            return whole

        @classmethod
        def _default_options(cls) -> Any:
            return Options()

        def run(self, run_input: Any, **options: Any) -> Any:
            raise NotImplementedError

    return Part(name="part")
