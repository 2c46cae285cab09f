"""Native gates with the noise of the vendor's `LocalEmulator`, on a density matrix (imports numpy, the SDK, qimg_core).

The vendor checks every native gate on its qubits and says which channels follow it; both depend on the gate and
its qubits only, so each pair is asked about once. The density matrix is evolved here, because the vendor's own
road writes and parses text in a time that grows with the square of the circuit: 250 gates took minutes there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_braket.native import Native
    from qimg_braket.states import Complex, Floats

    Superoperator = npt.NDArray[np.complex128]


class Emulation:
    """One device.

    Args:
        document: its properties, JSON text.

    Raises:
        Exception: whatever the SDK raises for a document that it cannot emulate.
    """

    def __init__(self, document: str) -> None:
        from braket.emulation.device_emulator_properties import DeviceEmulatorProperties
        from braket.emulation.local_emulator import LocalEmulator

        self.properties = DeviceEmulatorProperties.from_json(document)
        self._emulator = LocalEmulator.from_json(document)
        self._noise: dict[tuple[str, tuple[int, ...]], list[tuple[Superoperator, tuple[int, ...]]]] = {}
        self._readout: dict[int, list[tuple[Superoperator, tuple[int, ...]]]] = {}

    def distribution(self, gates: Sequence[Native], places: Sequence[int]) -> Floats:
        """Probabilities of reading the qubits ``places``, (2**len(places),), the first one most significant.

        Raises:
            ConfigurationError: the vendor refuses a gate on its qubits.
        """
        axis = {q: k for k, q in enumerate(places)}
        n = len(places)
        rho = np.zeros((2,) * (2 * n), dtype=complex)
        rho[(0,) * (2 * n)] = 1
        for gate in gates:
            rho = _applied(rho, _superoperator([_matrix(gate)]), [axis[q] for q in gate.qubits])
            for channel, qubits in self._after(gate):
                rho = _applied(rho, channel, [axis[q] for q in qubits])
        for qubit in places:
            for channel, qubits in self._before_reading(qubit):
                rho = _applied(rho, channel, [axis[q] for q in qubits])
        return np.asarray(np.einsum("ii->i", rho.reshape(2**n, 2**n)).real)

    def _after(self, gate: Native) -> list[tuple[Superoperator, tuple[int, ...]]]:
        key = (gate.name, gate.qubits)
        if key not in self._noise:
            self._ask(gate)
        return self._noise[key]

    def _before_reading(self, qubit: int) -> list[tuple[Superoperator, tuple[int, ...]]]:
        if qubit not in self._readout:
            names = [n.lower() for n in self.properties.native_gate_set]
            one = next(n for n in ("prx", "gpi", "rz", "rx") if n in names)
            from qimg_braket.native import Native

            self._ask(Native(one, (qubit,), (0.0, 0.0) if one == "prx" else (0.0,)))
        return self._readout[qubit]

    def _ask(self, gate: Native) -> None:
        """Send one gate through the vendor's checks and noise model."""
        from braket.circuits import Circuit
        from braket.circuits.gate import Gate
        from braket.circuits.noise import Noise

        program = f"OPENQASM 3.0;\n#pragma braket verbatim\nbox {{\n{gate.text()}\n}}\n"
        try:
            noisy = self._emulator.transform(Circuit.from_ir(program))
        except Exception as cause:  # its validators raise ValueError, TypeError and others
            raise ConfigurationError(f"the emulator refuses {gate.text()} {cause}") from cause
        after: list[tuple[Superoperator, tuple[int, ...]]] = []
        reading: dict[int, list[tuple[Superoperator, tuple[int, ...]]]] = {q: [] for q in gate.qubits}
        boxed = True
        for item in noisy.instructions:
            if isinstance(item.operator, Noise):
                qubits = tuple(int(q) for q in item.target)
                channel = (_superoperator(item.operator.to_matrix()), qubits)
                if boxed:
                    after.append(channel)
                else:
                    reading[qubits[0]].append(channel)
            elif not isinstance(item.operator, Gate):
                boxed = "End" not in type(item.operator).__name__ and boxed
        self._noise[gate.name, gate.qubits] = after
        self._readout |= reading


def _matrix(gate: Native) -> Complex:
    """The vendor's own matrix of a native gate, big-endian over its qubits."""
    from braket.circuits.translations import BRAKET_GATES

    return np.asarray(BRAKET_GATES[gate.name](*gate.angles).to_matrix(), dtype=complex)


def _superoperator(kraus: Sequence[Any]) -> Superoperator:
    """Sum of K x K*, (4**k, 4**k), on row indices and then column indices."""
    total: Any = sum(np.kron(k, np.conj(k)) for k in (np.asarray(k, dtype=complex) for k in kraus))
    return np.asarray(total)


def _applied(rho: Complex, channel: Superoperator, axes: Sequence[int]) -> Complex:
    n, k = rho.ndim // 2, len(axes)
    both = [*axes, *(n + a for a in axes)]
    out = np.tensordot(channel.reshape((2,) * (4 * k)), rho, axes=(range(2 * k, 4 * k), both))
    return np.moveaxis(out, range(2 * k), both)
