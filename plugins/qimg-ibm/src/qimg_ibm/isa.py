"""Circuits in a device's own instructions, made once for each circuit and setting (imports qimg_core, walker).

IBM's primitives take only circuits that are written in the device's instructions (ISA). They are transpiled
with their parameters open, at a fixed level and seed, and numbers are bound later; so a batch of rows is one
circuit with an array of parameter values, and what runs does not depend on the data.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.capabilities import Mismatch
from qimg_core.errors import CapabilityError
from qimg_core.execution import Footprint
from qimg_core.settings import rotated, settings_for
from qimg_ibm.walker import parameter_index, to_qiskit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.settings import Setting

LEVEL, SEED = 1, 7
_KEPT = 256


@frozen(eq=False)
class Isa:
    """One circuit, measured in one setting, as the device executes it.

    Args:
        circuit: a `qiskit.QuantumCircuit` with open parameters.
        columns: for each of its parameters, in its order, the index among the circuit's parameters.
        layout: the physical qubit behind each measured bit.
        qubits: physical qubits that it touches, in ascending order.
        depth: instructions on the longest path, without the measurements.
        two_qubit_gates: how many.
        seconds: duration of one shot, where the device's timing is known.
        text: OpenQASM 3.
    """

    circuit: Any
    columns: tuple[int, ...]
    layout: tuple[int, ...]
    qubits: tuple[int, ...]
    depth: int
    two_qubit_gates: int
    seconds: float | None
    text: str

    @property
    def digest(self) -> str:
        """``sha256:`` of the OpenQASM 3 text."""
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()

    def values(self, table: FloatArray) -> FloatArray:
        """(rows, parameters of this circuit) from (rows, parameters of qimg's circuit)."""
        return table[:, list(self.columns)]


class Compiler:
    """Transpiles for one device and keeps what it made. Safe for several threads.

    Args:
        backend: a Qiskit backend.
        device: its name, for words.
    """

    def __init__(self, backend: Any, device: str) -> None:
        self.backend, self.device = backend, device
        self._made: dict[tuple[str, Setting], Isa] = {}
        self._passes: dict[tuple[int, ...] | None, Any] = {}
        self._layouts: dict[str, tuple[int, ...]] = {}
        self._lock = threading.RLock()

    @property
    def words(self) -> str:
        """What was done, for the record."""
        return f"transpiled for {self.device}, level {LEVEL}, seed {SEED}"

    def all(self, request: ExecutionRequest) -> tuple[tuple[Setting, ...], tuple[Isa, ...]]:
        """The settings of a request, and its circuit for each."""
        settings = settings_for(request.measurement)
        return settings, tuple(self.one(request.circuit, s) for s in settings)

    def one(self, circuit: Circuit, setting: Setting) -> Isa:
        """One circuit in one setting.

        Raises:
            CapabilityError: it does not fit the device.
        """
        key = (circuit.digest, setting)
        with self._lock:
            found = self._made.get(key)
            if found is None:
                found = self._transpiled(circuit, setting)
                while len(self._made) >= _KEPT:
                    self._made.pop(next(iter(self._made)))
                self._made[key] = found
            return found

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """Of the largest of the request's circuits, before anything is sent."""
        made = self.all(request)[1]
        largest = max(made, key=lambda i: (i.two_qubit_gates, i.depth))
        times = [i.seconds for i in made if i.seconds is not None]
        return Footprint(
            wires=len(largest.qubits),
            depth=largest.depth,
            two_qubit_gates=largest.two_qubit_gates,
            duration_us=repr(round(max(times) * 1e6, 6)) if len(times) == len(made) else None,
            basis=self.words,
            digest=digest_of_all(made),
        )

    def _layout(self, circuit: Circuit) -> tuple[int, ...]:
        """The physical qubit of each wire: one choice for a circuit, whatever is measured of it.

        All settings of a measurement, and all measurements of a circuit, then see the same qubits.
        """
        found = self._layouts.get(circuit.digest)
        if found is None:
            isa = self._run(to_qiskit(circuit, range(circuit.n_wires)), None, circuit.n_wires)
            found = self._layouts[circuit.digest] = tuple(isa.layout.initial_index_layout(filter_ancillas=True))
        return found

    def _run(self, circuit: Any, layout: tuple[int, ...] | None, wires: int) -> Any:
        from qiskit.exceptions import QiskitError
        from qiskit.transpiler import generate_preset_pass_manager

        if layout not in self._passes:
            while len(self._passes) >= _KEPT // 8:
                self._passes.pop(next(iter(self._passes)))
            self._passes[layout] = generate_preset_pass_manager(
                optimization_level=LEVEL,
                backend=self.backend,
                seed_transpiler=SEED,
                initial_layout=None if layout is None else list(layout),
            )
        try:
            return self._passes[layout].run(circuit)
        except QiskitError as cause:
            mismatch = Mismatch("circuit", f"{wires} wires", str(cause).strip("'\"")[:200])
            raise CapabilityError(f"ibm:{self.device}", [mismatch]) from cause

    def _transpiled(self, circuit: Circuit, setting: Setting) -> Isa:
        from qiskit import qasm3

        layout_of_wires = self._layout(circuit)
        isa = self._run(to_qiskit(rotated(circuit, setting), setting.wires), layout_of_wires, circuit.n_wires)
        where = {bit: k for k, bit in enumerate(isa.qubits)}
        register = {bit: k for k, bit in enumerate(isa.clbits)}
        layout = [-1] * len(setting.wires)
        touched: set[int] = set()
        pairs = 0
        for item in isa.data:
            if item.operation.name == "barrier":
                continue
            qubits = [where[q] for q in item.qubits]
            touched.update(qubits)
            pairs += len(qubits) == 2
            if item.operation.name == "measure":
                layout[register[item.clbits[0]]] = qubits[0]
        return Isa(
            isa,
            tuple(parameter_index(p.name) for p in isa.parameters),
            tuple(layout),
            tuple(sorted(touched)),
            isa.depth(lambda i: i.operation.name not in ("barrier", "measure")),
            pairs,
            _seconds(isa, self.backend.target),
            qasm3.dumps(isa),
        )


def digest_of_all(made: Sequence[Isa]) -> str:
    """One digest of the texts of all settings, in order."""
    if len(made) == 1:
        return made[0].digest
    return "sha256:" + hashlib.sha256("\n".join(i.digest for i in made).encode()).hexdigest()


def _seconds(isa: Any, target: Any) -> float | None:
    from qiskit.exceptions import QiskitError

    try:
        return float(isa.estimate_duration(target, unit="s"))
    except (QiskitError, TypeError, ValueError):  # a device without timing
        return None
