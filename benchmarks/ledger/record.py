"""The record that is written: 1,450 bytes of what a run's entry holds (imports nothing)."""

from __future__ import annotations

from typing import Any

SIZE = 1450


def record(number: int) -> dict[str, Any]:
    """Facts whose entry is about 1,450 bytes long, different for each number; no floats."""
    return {
        "id": f"01J{number:023d}",
        "actor": "svc:trainer-3",
        "backend": {"name": "simulator", "provider": "local", "seed": 1234567, "shots": 8192, "version": "0.17.0"},
        "circuit": {"depth": 57, "qasm3": "sha256:" + "c" * 64, "qubits": 8, "two_qubit": 112},
        "cost": {"qpu_s": "1.75", "usd": "0.0321"},
        "dataset": {"manifest": "sha256:" + "b" * 64, "n": 60000, "sensitivity": "internal"},
        "environment": {"os": "linux", "packages": "sha256:" + "f" * 64, "python": "3.11.7"},
        "host": "worker-0017.cluster.example.org/03",
        "model": {"betas": ["0.9", "0.999"], "kind": "qddpm", "lr": "0.00123", "params": 123456},
        "outputs": [{"file": f"img{k}.png", "mime": "image/png", "sha256": "d" * 64} for k in range(4)],
        "policy": {"bundle": "sha256:" + "e" * 64, "decision": "allow", "reasons": []},
    }
