"""Running Qiskit circuits on Aer in this process, and making results of what it counted (imports qimg_core, noise).

Circuits arrive with their angles bound: Aer 0.18's own ``parameter_binds`` gives wrong numbers, silently, for
controlled rotations (crx, cry, crz, cp) of the statevector method, so it is not used.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qimg_core.errors import JobFailed
from qimg_core.seeds import derive_seed
from qimg_core.settings import Outcomes, read
from qimg_ibm.noise import frequencies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_core.settings import Setting

AT_ONCE = 64
"""Circuits of one call of Aer: bounds memory, changes no number but the seeds, which follow from it."""


def versions() -> dict[str, str]:
    """Of what computes."""
    return {name: version(name) for name in ("qimg-ibm", "qiskit", "qiskit-aer", "qiskit-ibm-runtime")}


def run_aer(
    circuits: Sequence[Any], *, method: str, seed: int | None, shots: int | None = None, noise: Any = None
) -> Any:
    """Run circuits and give each one's data, in order.

    Args:
        circuits: bound.
        method: Aer's simulation method.
        seed: names the streams; the k-th circuit's differs from the others'. None: Aer draws one.
        shots: None where the circuits save exact numbers.
        noise: an Aer noise model.

    Returns:
        one dict per circuit, as Aer names things.

    Raises:
        JobFailed: Aer says why.
    """
    from qiskit_aer import AerSimulator

    out: list[dict[str, Any]] = []
    for start in range(0, len(circuits), AT_ONCE):
        options: dict[str, Any] = {"method": method, "noise_model": noise}
        if seed is not None:
            options["seed_simulator"] = derive_seed(seed, "ibm", "aer", start) % 2**31
        simulator = AerSimulator(**options)
        simulator.set_max_qubits(64)  # memory is checked by Aer itself
        try:
            result = simulator.run(list(circuits[start : start + AT_ONCE]), shots=shots or 1).result()
            if not result.success:
                raise JobFailed(f"Aer could not run it: {_reason(result)}")
            out += [result.data(k) for k in range(len(result.results))]
        except JobFailed:
            raise
        except Exception as cause:  # the border to another engine: whatever it raises is its failure
            raise JobFailed(f"Aer could not run it: {str(cause)[:300]}") from cause
    if len(out) != len(circuits):
        raise JobFailed(f"Aer gave {len(out)} results of {len(circuits)} circuits")
    return out


def _reason(result: Any) -> str:
    texts = [str(r.status) for r in result.results if not r.success]
    return "; ".join(dict.fromkeys(texts))[:300] or str(result.status)[:300]


def from_counts(
    request: ExecutionRequest, settings: Sequence[Setting], tables: Sequence[Sequence[dict[str, int]]]
) -> tuple[Any, str]:
    """The result of a request from Aer's counts, and a digest of them.

    Args:
        request: what was asked.
        settings: its settings.
        tables: for each setting the counts of each row.
    """
    outcomes = [
        Outcomes.counted(frequencies(rows, len(s.wires)), len(s.wires))
        for s, rows in zip(settings, tables, strict=True)
    ]
    return read(request.measurement, settings, outcomes), digest_of([list(rows) for rows in tables])


def digest_of(document: Any) -> str:
    """``sha256:`` of canonical JSON."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
