"""What the fake devices compute: Braket's own local simulator, in Braket's own result schemas (imports the SDK).

Independent of the driver, which has its own exporter and its own readers. No noise is simulated: a fake proves
protocol and failure handling, not how good a device is.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def programs_of(action: str) -> list[str]:
    """The OpenQASM texts of a task."""
    document = json.loads(action)
    if document["braketSchemaHeader"]["name"].endswith("program_set"):
        return [str(p["source"]) for p in document["programs"]]
    return [str(document["source"])]


def is_set(action: str) -> bool:
    """Whether it is a program set."""
    return bool(json.loads(action)["braketSchemaHeader"]["name"].endswith("program_set"))


def single(task: Mapping[str, Any], shots: int, *, as_probabilities: bool) -> dict[str, bytes]:
    """Result files of a task of one program, by name.

    Args:
        task: as created.
        shots: that the device takes.
        as_probabilities: give shares instead of shots, as ion traps do.
    """
    from braket.devices import LocalSimulator
    from braket.ir.openqasm import Program
    from braket.task_result import AdditionalMetadata, GateModelTaskResult, TaskMetadata
    from braket.task_result.simulator_metadata_v1 import SimulatorMetadata

    program = Program.parse_raw(task["action"])
    found = LocalSimulator("braket_sv").run(program, shots=shots).result()
    values: dict[str, Any] = {"measurements": found.measurements.tolist()}
    if as_probabilities:
        values = {"measurementProbabilities": _shares(found.measurements.tolist())}
    simulated = "quantum-simulator" in task["deviceArn"]
    result = GateModelTaskResult(
        **values,
        measuredQubits=found.measured_qubits,
        taskMetadata=TaskMetadata(id=task["arn"], shots=task["shots"], deviceId=task["deviceArn"], status="COMPLETED"),
        additionalMetadata=AdditionalMetadata(
            action=program, simulatorMetadata=SimulatorMetadata(executionDuration=4200) if simulated else None
        ),
    )
    return {"results.json": result.json().encode()}


def program_set(task: Mapping[str, Any], failing: Mapping[int, str], *, inline: bool) -> dict[str, bytes]:
    """Result files of a program set, by name.

    Args:
        task: as created.
        failing: number of a program -> why it fails.
        inline: everything in one file; else one file for each program and executable.
    """
    from braket.devices import LocalSimulator
    from braket.ir.openqasm import ProgramSet

    sent = ProgramSet.parse_raw(task["action"])
    found = json.loads(LocalSimulator("braket_sv")._delegate.run(sent, shots=task["shots"]).json())  # noqa: SLF001
    each = task["shots"] // len(sent.programs)
    for number, reason in failing.items():
        failure = {"failureReason": reason, "retryable": False, "category": "DEVICE"}
        found["programResults"][number]["executableResults"] = [
            {"braketSchemaHeader": _failed(), "inputsIndex": 0, "failureMetadata": failure}
        ]
        found["taskMetadata"]["programMetadata"][number]["executables"] = [failure]
    found["taskMetadata"] |= {
        "id": task["arn"],
        "deviceId": task["deviceArn"],
        "successfulShots": task["shots"] - each * len(failing),
        "totalFailedExecutables": len(failing),
    }
    _validated(found)
    if inline:
        return {"results.json": json.dumps(found).encode()}
    files: dict[str, bytes] = {}
    for number, item in enumerate(found["programResults"]):
        folder = f"programs/{number}"
        files[f"{folder}/executables/0.json"] = json.dumps(item["executableResults"][0]).encode()
        files[f"{folder}/program.json"] = json.dumps(item["source"]).encode()
        item["executableResults"], item["source"] = ["executables/0.json"], "program.json"
        files[f"{folder}/results.json"] = json.dumps(item).encode()
        found["programResults"][number] = f"{folder}/results.json"
    files["metadata.json"] = json.dumps(found["taskMetadata"]).encode()
    found |= {"taskMetadata": "metadata.json", "s3Location": [task["outputS3Bucket"], task["directory"]]}
    return {**files, "results.json": json.dumps(found).encode()}


def _validated(document: dict[str, Any]) -> None:
    """The vendor's schema must accept what we send."""
    from braket.task_result import ProgramSetTaskResult

    ProgramSetTaskResult.parse_obj(document)


def _failed() -> dict[str, str]:
    return {"name": "braket.task_result.program_set_executable_failure", "version": "1"}


def _shares(measurements: list[list[int]]) -> dict[str, float]:
    counted = Counter("".join(map(str, shot)) for shot in measurements)
    return {text: count / len(measurements) for text, count in counted.items()}
