"""Who is measured: names, environments and where each adapter is; nothing is imported (imports attrs)."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from benchmarks.peers import OWN


@frozen
class EngineSpec:
    """An engine by name.

    Args:
        name: in tables.
        environment: of `benchmarks.peers`, or "own".
        target: module:class of the adapter, imported in the worker alone.
        options: for the adapter.
        compiles: it compiles each new shape for many seconds, and may take longer for its first call.
    """

    name: str
    environment: str
    target: str
    options: dict[str, Any] = field(factory=dict)
    compiles: bool = False


_OURS = "benchmarks.engines.ours:Simulator"
_PL = "benchmarks.engines.pennylane_torch:"
_VALUES = {"values_only": True}
ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec("qimg-simulator", OWN, _OURS),
        EngineSpec("qimg-simulator with qimg-kernels", OWN, _OURS, {"device": "kernels"}),
        EngineSpec("qimg-simulator, values only", OWN, _OURS, _VALUES),
        EngineSpec("default.qubit torch", OWN, _PL + "DefaultQubit"),
        EngineSpec("default.qubit torch, one row a weight vector", OWN, _PL + "DefaultQubit", {"by_row": True}),
        EngineSpec("lightning.qubit", OWN, _PL + "Lightning"),
        EngineSpec("default.mixed torch", OWN, _PL + "DefaultMixed"),
        EngineSpec("default.mixed torch, values only", OWN, _PL + "DefaultMixed", _VALUES),
        EngineSpec(
            "default.qubit jax", "pennylane-jax", "benchmarks.engines.pennylane_jax:DefaultQubit", compiles=True
        ),
        EngineSpec(
            "TensorCircuit-NG jax", "tensorcircuit", "benchmarks.engines.tensorcircuit:TensorCircuit", compiles=True
        ),
        EngineSpec("DeepQuantum", "deepquantum", "benchmarks.engines.deepquantum:DeepQuantum"),
        EngineSpec("TorchQuantum-NG", "torchquantum", "benchmarks.engines.torchquantum:TorchQuantum"),
        EngineSpec("qulacs", "qulacs", "benchmarks.engines.qulacs:Qulacs"),
        *(
            EngineSpec(f"{arm} arm", OWN, "benchmarks.engines.train_step:TrainStep", {"arm": arm})
            for arm in ("quantum", "twin", "bypass")
        ),
        EngineSpec("Aer", OWN, "benchmarks.engines.aer:Aer"),
        EngineSpec("Aer, values only", OWN, "benchmarks.engines.aer:Aer", _VALUES),
    )
}
