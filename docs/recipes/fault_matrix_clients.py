"""One small job through a vendor's own client, again and again, for `fault_matrix` (imports that client only).

    python fault_matrix_clients.py {ibm,braket,ionq-core,qiskit-ionq,cirq-ionq}

Reads lines from standard input; for each runs the job once as the client's manual says, with its own defaults for
retries and time-outs, and writes a line: ``result P00 P01 P10 P11`` or ``error TYPE``. Where the provider is, stands
in the environment.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

SHOTS = 400


def ibm() -> Any:
    """qiskit-ibm-runtime's sampler on its executor."""
    from qiskit import QuantumCircuit, transpile
    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.executor_sampler import Sampler

    url = os.environ["QIMG_IBM_URL"]
    service = QiskitRuntimeService(
        channel="ibm_quantum_platform",
        token=os.environ["QIMG_IBM_TOKEN"],
        instance=os.environ["QIMG_IBM_INSTANCE"],
        url_resolver=lambda *_: url,
    )
    device = service.backend("ibm_manila")
    circuit = QuantumCircuit(2, 2)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    circuit.ry(0.7, 1)
    circuit.measure(range(2), range(2))
    compiled = transpile(circuit, device, optimization_level=1, seed_transpiler=1)

    def run() -> list[float]:
        counts = Sampler(mode=device).run([compiled], shots=SHOTS).result(poll_interval=0.1)[0].data["c"].get_counts()
        return [counts.get(k, 0) / SHOTS for k in ("00", "10", "01", "11")]

    return run


def braket() -> Any:
    """Amazon Braket's SDK."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    device = AwsDevice(os.environ["FAULT_MATRIX_ARN"])
    circuit = Circuit().ry(0, 1.1).cnot(0, 1).ry(1, 0.7)

    def run() -> list[float]:
        folder = ("amazon-braket-fake", "vendor")
        task = device.run(circuit, folder, shots=SHOTS, poll_interval_seconds=0.1)
        found = task.result()
        if found is None:
            raise RuntimeError(f"no result: {task.state()}")
        p = found.measurement_probabilities
        return [float(p.get(k, 0)) for k in ("00", "01", "10", "11")]

    return run


def ionq_core() -> Any:
    """IonQ's own client of its REST interface."""
    import ionq_core as core
    from ionq_core.api.default import create_job, get_job_probabilities
    from ionq_core.models import CircuitJobCreationPayload

    client = core.IonQClient(api_key=os.environ["QIMG_IONQ_API_KEY"], base_url=os.environ["QIMG_IONQ_URL"])
    gates = [
        {"gate": "ry", "target": 0, "rotation": 1.1},
        {"gate": "cnot", "control": 0, "target": 1},
        {"gate": "ry", "target": 1, "rotation": 0.7},
    ]
    content = {"qubits": 2, "gateset": "qis", "circuit": gates}
    payload = {"type": "ionq.circuit.v1", "backend": "simulator", "shots": SHOTS, "input": content}

    def run() -> list[float]:
        job = create_job.sync(client=client, body=CircuitJobCreationPayload.from_dict(payload))
        core.wait_for_job(client, job.id, poll_interval=0.1)
        found = get_job_probabilities.sync(uuid=job.id, client=client).to_dict()
        return [float(found.get(k, 0)) for k in ("0", "2", "1", "3")]

    return run


def qiskit_ionq() -> Any:
    """qiskit-ionq."""
    import qiskit_ionq as package
    from qiskit import QuantumCircuit

    provider = package.IonQProvider(token=os.environ["QIMG_IONQ_API_KEY"], url=os.environ["QIMG_IONQ_URL"])
    backend = provider.get_backend("simulator")
    circuit = QuantumCircuit(2, 2)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    circuit.ry(0.7, 1)
    circuit.measure(range(2), range(2))

    def run() -> list[float]:
        found = backend.run(circuit, shots=SHOTS).result(wait=0.1).get_probabilities()
        return [float(found.get(k, 0)) for k in ("00", "10", "01", "11")]

    return run


def cirq_ionq() -> Any:
    """cirq-ionq."""
    import cirq
    import cirq_ionq as package

    host = os.environ["QIMG_IONQ_URL"].removesuffix("/v0.4")
    service = package.Service(remote_host=host, api_key=os.environ["QIMG_IONQ_API_KEY"], default_target="simulator")
    q = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.ry(1.1)(q[0]), cirq.CNOT(*q), cirq.ry(0.7)(q[1]), cirq.measure(*q, key="m"))

    def run() -> list[float]:
        found = service.create_job(circuit, repetitions=SHOTS).results(polling_seconds=0.1).probabilities()
        return [float(found.get(k, 0)) for k in range(4)]

    return run


MAKERS = {"ibm": ibm, "braket": braket, "ionq-core": ionq_core, "qiskit-ionq": qiskit_ionq, "cirq-ionq": cirq_ionq}


def main(name: str) -> None:
    """Answer each line of standard input."""
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # what a client prints is no answer
    run = MAKERS[name]()
    print("ready", file=out, flush=True)
    for _ in sys.stdin:
        try:
            print("result", *run(), file=out, flush=True)
        except Exception as error:  # whatever the client lets out is what the table shows
            print("error", type(error).__name__, file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
