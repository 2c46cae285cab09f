"""What is sent: tags, circuits with their values, options, all explicit (imports reading; the SDK inside).

Mitigation and suppression are off: they are the core's explicit choice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qimg_ibm.reading import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import JSON, Intent
    from qimg_ibm.isa import Isa
    from qimg_ibm.reading import Reading
    from qimg_ibm.usage import Usage


def tag_of_run(run: str) -> str:
    """The tag of all jobs of a run."""
    return f"qimg-run-{run}"[:60]


def tag_of_key(key: str) -> str:
    """The tag by which one job is found again: 128 bits of its key."""
    return f"qimg-{key[:32]}"


def sampler_for(device: Any, usage: Usage, intent: Intent) -> Any:
    """IBM's executor `Sampler` in job mode, bounded and tagged.

    Args:
        device: the SDK's backend object.
        usage: of the job; bounds its time.
        intent: gives the tags.
    """
    from qiskit_ibm_runtime.executor_sampler import Sampler

    sampler = Sampler(mode=device)
    sampler.options.max_execution_time = usage.bound
    sampler.options.dynamical_decoupling.enable = False
    sampler.options.twirling.enable_gates = False
    sampler.options.twirling.enable_measure = False
    sampler.options.environment.job_tags = [tag_of_run(intent.run), tag_of_key(intent.key)]
    return sampler


def pubs_of(request: ExecutionRequest, made: Sequence[Isa], reading: Reading) -> list[tuple[Any, Any]]:
    """Circuits with their parameter values, one row for each row of the request.

    A circuit without parameters has nothing to broadcast and is sent once for each row.
    """
    from qiskit.primitives.containers.bindings_array import BindingsArray

    table = request.circuit.values(request.inputs, request.weights)
    out: list[tuple[Any, Any]] = []
    for isa, count in zip(made, reading.circuits, strict=True):
        circuit = isa.circuit.copy()
        circuit.metadata = {} if out else {METADATA: json.dumps(reading.to_json())}
        names = tuple(p.name for p in circuit.parameters)
        values = BindingsArray({names: isa.values(table)}, shape=(request.rows,)) if names else None
        out += [(circuit, values)]
        if count > 1:
            plain = circuit.copy()
            plain.metadata = {}
            out += [(plain, None)] * (count - 1)
    return out


def options_of(sampler: Any) -> dict[str, JSON]:
    """What the job was sent with, as the SDK completes it."""
    found = sampler.finalize_options()
    return {
        "dynamical_decoupling": bool(found.dynamical_decoupling.enable),
        "twirling_gates": bool(found.twirling.enable_gates),
        "twirling_measure": bool(found.twirling.enable_measure),
        "init_qubits": bool(found.execution.init_qubits),
        "rep_delay": "default" if found.execution.rep_delay is None else repr(found.execution.rep_delay),
        "meas_type": str(found.execution.meas_type),
        "max_execution_time": int(found.max_execution_time),
        "private": bool(found.environment.private),
        "tags": list(found.environment.job_tags),
    }
