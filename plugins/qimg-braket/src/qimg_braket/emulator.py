"""A QPU emulated from its device properties document: ``braket:emulator:FILE.json`` (imports qimg_core, numpy).

Circuits are written in the device's native gates on neighbouring physical qubits. The vendor's `LocalEmulator`
checks them and adds depolarizing and read-out noise from the published fidelities. A classical rehearsal of the
verbatim road: real devices have other noise besides.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_braket.calibration import calibration_of
from qimg_braket.layout import Graph, route, undirected
from qimg_braket.local import refuse_impossible, versions
from qimg_braket.native import Family, Native, family_of, translate
from qimg_braket.qasm import digest
from qimg_braket.states import marginal, sampled
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind
from qimg_core.circuit.ir import Circuit
from qimg_core.circuit.rewrite import rewrite
from qimg_core.errors import ConfigurationError
from qimg_core.execution import Footprint, array_digest
from qimg_core.job import RawResult, Snapshot
from qimg_core.settings import Outcomes, bound_circuits, read

if TYPE_CHECKING:
    from qimg_braket.states import Floats
    from qimg_core.execution import ExecutionRequest

MAX_WIRES = 8


@frozen
class Compiled:
    """One circuit as the device executes it.

    Args:
        gates: native, in order.
        places: the physical qubit of each wire when it is measured.
    """

    gates: tuple[Native, ...]
    places: tuple[int, ...]

    def text(self) -> str:
        """A program with a verbatim box; bit k is wire k."""
        lines = ["OPENQASM 3.0;", f"bit[{len(self.places)}] c;", "#pragma braket verbatim", "box {"]
        lines += [f"    {g.text()}" for g in self.gates]
        lines += ["}", *(f"c[{k}] = measure ${q};" for k, q in enumerate(self.places))]
        return "\n".join([*lines, ""])

    @property
    def depth(self) -> int:
        """Native gates on the longest path; Z rotations that are executed count."""
        reached: dict[int, int] = {}
        for gate in self.gates:
            after = 1 + max(reached.get(q, 0) for q in gate.qubits)
            reached |= dict.fromkeys(gate.qubits, after)
        return max(reached.values(), default=0)


class EmulatorBackend(LocalBackend):
    """An emulated device.

    Args:
        file: JSON document of the device's properties, as ``GetDevice`` gives it in ``deviceCapabilities``.

    Raises:
        ConfigurationError: no such file, not such a document, or native gates that are not known here.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        from qimg_braket.emulation import Emulation

        self.name = f"braket:emulator:{file}"
        try:
            self._text = Path(file).read_bytes()
            document = self._text.decode()
            self._document: dict[str, Any] = json.loads(document)
            self._emulation = Emulation(document)
        except OSError as cause:
            raise ConfigurationError(
                f"no device properties in {file!r}: {cause.strerror}",
                hint="save them with: aws braket get-device --device-arn ARN --query deviceCapabilities --output text",
            ) from cause
        except Exception as cause:  # the SDK raises many kinds for a document that it cannot emulate
            raise ConfigurationError(f"{file!r} cannot be emulated: {type(cause).__name__}: {cause}") from cause
        self._family, self._graph = _topology(self._emulation.properties)

    @property
    def capabilities(self) -> Capabilities:
        """The gates that its native gates make exactly; the core writes the others in them."""
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=min(MAX_WIRES, len(self._graph)),
            gates=self._family.claims,
            measurements=frozenset(MeasurementKind) - {MeasurementKind.STATE},
            analytic=True,
            shots=(1, None),
            seeded=True,
            compiles=True,
            billing=Billing.FREE,
        )

    def snapshot(self) -> Snapshot:
        """The document's calibration, its digest, and what simulates it."""
        data = calibration_of(self._document)
        data["document"] = "sha256:" + hashlib.sha256(self._text).hexdigest()
        data["emulated_by"] = dict(versions())
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def compiled(self, circuit: Circuit) -> Compiled:
        """A bound circuit in native gates on physical qubits, Z rotations before the measurement left out.

        Raises:
            ConfigurationError: the device has no connected patch of that many qubits.
        """
        offered = self._family.claims
        routed = route(rewrite(circuit, offered).gates, circuit.n_wires, self._graph)
        physical = rewrite(Circuit(max(self._graph) + 1, routed.gates), offered)
        return Compiled(tuple(translate(physical.gates, self._family)), routed.places)

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """Of the first row's first circuit, compiled: rows differ in angles only, settings in a few turns."""
        _, rows = bound_circuits(request)
        made = [self.compiled(circuit) for circuit in rows[0]]
        largest = max(made, key=lambda c: (c.depth, len(c.gates)))
        return Footprint(
            wires=len(largest.places),
            depth=largest.depth,
            two_qubit_gates=sum(len(g.qubits) == 2 for g in largest.gates),
            basis=f"verbatim in {self._family.one} and {self._family.two}, emulated",
            digest=digest([largest.text()]),
        )

    def run(self, request: ExecutionRequest) -> RawResult:
        """Every row and setting through the emulator, exactly; shots are drawn by us with the request's seed.

        Raises:
            CapabilityError: outside `capabilities`.
            ConfigurationError: the emulator refuses the program.
        """
        refuse_impossible(self.name, request, self.capabilities)
        settings, circuits = bound_circuits(request)
        texts: list[str] = []
        rows: list[list[Floats]] = []
        for row in circuits:
            out = []
            for setting, circuit in zip(settings, row, strict=True):
                compiled = self.compiled(circuit)
                texts.append(compiled.text())
                out.append(marginal(self._emulation.distribution(compiled.gates, compiled.places), setting.wires))
            rows.append(out)
        if request.shots is None:
            outcomes = [Outcomes.dense(np.stack([row[i] for row in rows])) for i in range(len(settings))]
            data, raw = read(request.measurement, settings, outcomes), np.concatenate([np.stack(r) for r in rows])
        else:
            data, raw = sampled(rows, request.measurement, request.shots, request.seed)
        return RawResult(
            data=data,
            shots=request.shots,
            raw_digest=array_digest(raw),
            sampling="none" if request.shots is None else "client",
            lowered_digest=digest(texts),
            provider={"engine": "gates and noise of LocalEmulator", **versions()},
        )


def _topology(properties: Any) -> tuple[Family, Graph]:
    """The family of native gates, and the couplings on which its entangling gate works."""
    native = [n.lower() for n in properties.native_gate_set]
    if properties.fully_connected:
        labels = properties.qubit_labels
        return family_of(native), {q: tuple(p for p in labels if p != q) for q in labels}
    works: dict[str, dict[int, list[int]]] = {}
    for edge, measured in properties.two_qubit_properties.items():
        a, b = (int(q) for q in edge.split("-"))
        for item in measured.twoQubitGateFidelity:
            works.setdefault(item.gateName.lower(), {}).setdefault(a, []).append(b)
    pairs = {"cz", "cphaseshift", "iswap", "zz", "ms", "xx"}
    family = family_of([n for n in native if n not in pairs or n in works])
    return family, undirected(works[family.two])
