"""What stands behind the fake service: a job's life, and executing what it asks for (imports offline; the SDK inside).

Requests are read and results are written with IBM's own schema package (`ibm_quantum_schemas`), so what the
vendor's client sends and gets is what the service would. Circuits run on Aer, a classical simulator.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from attrs import define, field

from qimg_ibm.calibration import calibration_of, readout_of
from qimg_ibm.offline import NoisyDevice, documents, open_snapshot, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FINAL = ("Completed", "Failed", "Cancelled")
SECONDS_OF_A_JOB = 2
"""What the fake bills."""


def now() -> str:
    """As the service writes it."""
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


@define
class FakeJob:
    """One job at the fake.

    Args:
        id: made by the fake.
        request: the body that made it.
        status: a word of IBM's documentation.
        polls: how often its state was asked for.
        result: the body of its results.
        reason, reason_code: why it failed.
    """

    id: str
    request: Mapping[str, Any] = field(repr=False)
    status: str = "Queued"
    polls: int = 0
    result: str = field(default="", repr=False)
    reason: str = ""
    reason_code: int | None = None
    created: str = field(factory=now)
    tags: list[str] = field(factory=list)

    def to_json(self, *, params: bool = False) -> dict[str, Any]:
        """As ``GET /jobs/{id}`` answers."""
        state: dict[str, Any] = {"status": self.status}
        if self.reason:
            state |= {"reason": self.reason, "reason_code": self.reason_code}
        document: dict[str, Any] = {
            "id": self.id,
            "backend": self.request["backend"],
            "program": {"id": self.request["program_id"]},
            "status": self.status,
            "state": state,
            "created": self.created,
            "tags": list(self.tags),
            "cost": self.request.get("cost", 0),
            "private": False,
            "estimated_running_time_seconds": SECONDS_OF_A_JOB,
            "usage": self.usage(),
            "runtime": "fake:1",
        }
        return document | ({"params": self.request["params"]} if params else {})

    def usage(self) -> dict[str, Any]:
        """Nothing before it is over."""
        if self.status not in FINAL:
            return {"quantum_seconds": 0, "qpu_charge_time_seconds": 0, "seconds": 0, "status": "pending"}
        spent = SECONDS_OF_A_JOB if self.status == "Completed" else 0
        return {"quantum_seconds": spent, "qpu_charge_time_seconds": spent, "seconds": spent, "status": "final"}


class Machine:
    """The fake's quantum computer: one of the SDK's device snapshots under a service name.

    Args:
        device: ``ibm_...``; the snapshot is that of ``fake_...``.
        noise: simulate with the device's noise.
        seed: of the simulation.
    """

    def __init__(self, device: str, *, noise: bool, seed: int) -> None:
        backend = open_snapshot(device.replace("ibm_", "fake_", 1))
        self.configuration, self.properties = documents(backend)
        for document in (self.configuration, self.properties):
            document["backend_name"] = device
        self.configuration["simulator"] = False
        self.seed = seed
        self.target = part_of(backend.target).target
        self._device = NoisyDevice(self.target, readout_of(calibration_of(self.properties)), noise=noise)

    def recalibrate(self, count: int) -> None:
        """Other numbers, and a later date."""
        for qubit in self.properties["qubits"]:
            for item in qubit:
                if item["name"] == "T1":
                    item["value"] *= 0.9
        self.properties["last_update_date"] = f"2026-01-{1 + count % 28:02d}T00:00:00+00:00"

    def check(self, params: Any) -> None:
        """What the service checks before it accepts.

        Raises:
            ValueError: not a document of IBM's schema.
        """
        self._program(params)

    @staticmethod
    def _program(params: Any) -> tuple[Any, Any]:
        from ibm_quantum_schemas.executor.version_2_0 import ParamsModel
        from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

        model = ParamsModel.model_validate(params)
        return QUANTUM_PROGRAM_PARAMS_CONVERTERS[model.schema_version].decoder(model)[0], model

    def execute(self, params: Any) -> str:
        """The results of a request, as the service's body.

        Raises:
            ValueError: a circuit that is not in the device's instructions.
        """
        import numpy as np
        from ibm_quantum_schemas.common import CompressedTensorModel
        from ibm_quantum_schemas.executor.version_2_0 import (
            ChunkPart,
            ChunkSpan,
            ItemMetadataModel,
            MetadataModel,
            QuantumProgramResultItemModel,
            QuantumProgramResultModel,
        )

        program, model = self._program(params)
        start = dt.datetime.now(dt.UTC)
        items, parts = [], []
        for position, item in enumerate(program.items):
            values = np.asarray(item.circuit_arguments, dtype=float)
            rows = values.reshape(-1, len(item.circuit.parameters)) if item.circuit.parameters else np.zeros((1, 0))
            bits = self._bits(item.circuit, rows, program.shots, self.seed + position)
            shape = values.shape[:-1] if item.circuit.parameters else ()
            register = item.circuit.cregs[0].name
            tensor = CompressedTensorModel.from_numpy(bits.reshape(*shape, program.shots, bits.shape[-1]))
            items.append(QuantumProgramResultItemModel(results={register: tensor}, metadata=ItemMetadataModel()))
            parts.append(ChunkPart(idx_item=position, size=len(rows), element_range=(0, len(rows), 1), permutation=[0]))
        span = ChunkSpan(start=start, stop=dt.datetime.now(dt.UTC), parts=parts)
        text: str = QuantumProgramResultModel(
            data=items,
            metadata=MetadataModel(chunk_timing=[span]),
            passthrough_data=model.quantum_program.passthrough_data,
            semantic_role=model.quantum_program.semantic_role,
        ).model_dump_json()
        return text

    def _bits(self, circuit: Any, rows: Any, shots: int, seed: int) -> Any:
        """(rows, shots, classical bits), column k being classical bit k, as IBM's tensors are."""
        import numpy as np

        where = {bit: k for k, bit in enumerate(circuit.qubits)}
        touched: set[int] = set()
        for item in circuit.data:
            qubits = tuple(where[q] for q in item.qubits)
            name = item.operation.name
            if name == "barrier":
                continue
            if not self.target.instruction_supported(name, qubits):
                raise ValueError(f"The instruction {name} on qubits {qubits} is not supported by the target system")
            touched.update(qubits)
        tables = self._device.run(circuit, sorted(touched), rows, shots=shots, seed=seed)
        k = circuit.num_clbits
        out = np.zeros((len(tables), shots, k), dtype=bool)
        for r, table in enumerate(tables):
            drawn = np.repeat([int(key, 16) for key in table], list(table.values()))
            out[r] = (drawn[:, None] >> np.arange(k)) & 1
        return out
