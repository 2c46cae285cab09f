"""An entry in the words of a reader: who made it, how, and what in it was quantum (imports circuit, ledger)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qimg_core.circuit.ir import Circuit
from qimg_core.circuit.resources import resources
from qimg_core.cli.output import short

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

SHOWN_PACKAGES = ("qimg-core", "qimg-simulator", "qimg-diffusion", "torch", "numpy")


def quantum_words(quantum: bool, simulated: bool) -> str:
    """The three words of the record: see "What is quantum here"."""
    if not quantum:
        return "no quantum part"
    return "simulated quantum circuit" if simulated else "quantum hardware"


def circuits_of(ledger: Ledger, run: str) -> dict[str, Circuit]:
    """The circuits that a run was admitted to execute, by digest."""
    found: dict[str, Circuit] = {}
    for entry in ledger.entries(run=run, kind="plan.admitted"):
        digest = entry.facts["circuit"]
        if digest not in found:
            found[digest] = Circuit.from_json(json.loads(ledger.get(entry.artefacts["circuit"])))
    return found


def circuit_facts(circuit: Circuit) -> dict[str, Any]:
    """Size and cost of a circuit."""
    report = resources(circuit)
    return {
        "digest": circuit.digest,
        "wires": circuit.n_wires,
        "gates": len(circuit.gates),
        "depth": report.depth,
        "two_qubit_gates": report.two_qubit_gates,
        "inputs": circuit.n_inputs,
        "weights": circuit.n_weights,
    }


def circuit_words(facts: dict[str, Any]) -> str:
    """One line about a circuit."""
    return (
        f"{facts['wires']} wires, {facts['gates']} gates ({facts['two_qubit_gates']} on two wires, depth "
        f"{facts['depth']}), {facts['inputs']} inputs, {facts['weights']} weights"
    )


def parameter_words(numbers: dict[str, int] | None) -> str:
    """How much of a model is its quantum layer."""
    if not numbers or not numbers.get("total"):
        return ""
    share = 100 * numbers["layer"] / numbers["total"]
    rest = numbers["layer"] - numbers["circuit"] - numbers["observable"]
    return (
        f"{numbers['layer']:,} of {numbers['total']:,} trained numbers ({share:.3g} %) are the quantum layer's: "
        f"{numbers['circuit']:,} gate angles, {numbers['observable']:,} read-out coefficients, "
        f"{rest:,} classical ones around the circuit"
    )


def images_summary(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    """An ``images.made`` entry and the run around it."""
    facts, run = entry.facts, str(entry.run)
    opening = next(iter(ledger.entries(run=run, kind="run.started")))
    environment = json.loads(ledger.get(opening.artefacts["environment"]))
    finished = next(iter(ledger.entries(run=run, kind="run.finished")), None)
    backends = {b for e in ledger.entries(run=run, kind="executions") for b in e.facts["backends"]}
    admitted = [e.facts for e in ledger.entries(run=run, kind="plan.admitted")]
    packages = environment["packages"]
    model = facts["model"]
    return {
        "run": run,
        "entry": entry.index,
        "time": entry.time,
        "generator": facts["generator"],
        "plugin": facts["plugin"],
        "arm": facts["config"].get("arm"),
        "n": facts["n"],
        "shape": facts["shape"],
        "condition": facts["condition"],
        "classes": None if facts["condition"] is None else len(set(facts["condition"])),
        "weights": _weights(ledger, entry),
        "pixels": facts["pixels"],
        "quantum": facts["quantum"],
        "simulated": facts["simulated"],
        "words": quantum_words(facts["quantum"], facts["simulated"]),
        "circuits": [circuit_facts(c) for c in circuits_of(ledger, run).values()],
        "parameters": model.get("parameters"),
        "asked_backend": opening.facts["backend"],
        "ran_backends": sorted(backends | {a["backend"] for a in admitted}),
        "device_kinds": facts["device_kinds"],
        "fallback": sorted({a["fallback_reason"] for a in admitted if a["fallback_reason"]}),
        "status": "did not end" if finished is None else finished.facts["status"],
        "rows": None if finished is None else finished.facts["rows"],
        "shots": opening.facts["shots"],
        "noise": opening.facts["noise"],
        "seed": opening.facts["seed"],
        "sampling_seed": facts["seed"],
        "settings": facts["settings"],
        "threads": facts["threads"],
        "environment": {
            "python": environment["python"],
            "system": environment["system"],
            "cpu": environment["cpu"],
            "git": environment["git"],
            "packages": {name: packages[name] for name in SHOWN_PACKAGES if name in packages},
        },
        "claims": opening.claims,
        "gaps": [{"field": g.field, "reason": g.reason} for g in (*opening.gaps, *entry.gaps)],
        "ledger": ledger.origin,
    }


def _weights(ledger: Ledger, entry: Entry) -> dict[str, Any] | None:
    if "weights" not in entry.artefacts:
        return None
    from qimg_core.weights import weights_metadata

    facts = weights_metadata(ledger.get(entry.artefacts["weights"]))["facts"]
    return {"digest": entry.facts["weights"], **training_facts(facts)}


def training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """What a weights file says of its own training."""
    names = ("generator", "arm", "run", "seed", "data", "steps", "parameters", "plugin")
    return {name: facts.get(name) for name in names}


def weights_words(weights: dict[str, Any] | None) -> str:
    """One line about the weights of a model."""
    if weights is None:
        return "untrained"
    data = weights.get("data") or {}
    learned = f", {weights['steps']:,} steps on {data.get('name')}" if weights.get("steps") else ""
    return f"weights {short(weights['digest'])} trained by run {weights.get('run')}{learned}"


def environment_words(environment: dict[str, Any]) -> str:
    """One line about where it ran."""
    git = environment["git"]
    code = "" if git is None else f", commit {git['commit'][:12]}{' with changes' if git['modified'] else ''}"
    packages = " ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return f"python {environment['python']}, {packages}{code}"


def _by_reason(gaps: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for gap in gaps:
        found.setdefault(gap["reason"], []).append(gap["field"])
    return found


def images_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The summary as (name, text) pairs for people."""
    classes = f", {summary['classes']} classes" if summary["classes"] else ""
    noise = "no noise model" if summary["noise"] is None else "a noise model"
    shots = "exact numbers" if summary["shots"] is None else f"{summary['shots']:,} shots"
    ran = ", ".join(summary["ran_backends"]) or "none"
    asked = "" if [summary["asked_backend"]] == summary["ran_backends"] else f" (asked for {summary['asked_backend']})"
    quantum = summary["words"]
    if summary["quantum"]:
        on = "a classical computer simulated it" if summary["simulated"] else "on quantum hardware"
        times = f"run {summary['rows']:,} times; " if summary["rows"] else ""
        quantum += f": {times}{on}"
    return [
        (
            "images",
            f"{summary['n']}{classes}, made {summary['time']} by run {summary['run']}, entry {summary['entry']}",
        ),
        ("made by", f"{summary['generator']} ({summary['plugin']}), arm {summary['arm']}"),
        ("model", weights_words(summary["weights"])),
        ("quantum", quantum),
        *(("circuit", circuit_words(c)) for c in summary["circuits"]),
        ("numbers", parameter_words(summary["parameters"]) if summary["quantum"] else ""),
        ("device", f"{ran}{asked}, {shots}, {noise}" if summary["ran_backends"] else "none"),
        *(("fallback", reason) for reason in summary["fallback"]),
        ("seed", str(summary["seed"])),
        ("ran on", environment_words(summary["environment"])),
        *(("missing", f"{', '.join(names)}: {reason}") for reason, names in _by_reason(summary["gaps"]).items()),
    ]
