"""The same ten digits from every kind of device, as pictures and a table, with the record of each run.

usage: every_backend.py FOLDER [ARM ...]

Makes FOLDER/backends-ARM.png, FOLDER/ARM.json and FOLDER/table.md (of all arms that lie there), and the record in FOLDER/runs.
Everything runs offline, in this process, on classical simulations. The noisy arms take minutes, `zne` the most.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core import Mitigation, Session
from qimg_metrics.bootstrap import wilson
from qimg_metrics.features import shipped_network

if TYPE_CHECKING:
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger

SEED, SHOTS, NOISY = 3, 2000, "ibm:fake_guadalupe"
SETTINGS: dict[str, Any] = {"sample_steps": 5, "guidance": 1.0}
FEW, MANY = 10, 200
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "exact": ("simulator", {}),
    "shots": ("simulator", {"shots": SHOTS}),
    "noisy": (NOISY, {"shots": SHOTS}),
    "readout": (NOISY, {"shots": SHOTS, "mitigation": Mitigation(readout=True)}),
    "zne": (NOISY, {"shots": SHOTS, "mitigation": Mitigation(readout=True, folds=(1, 3))}),
    "classical": ("classical", {}),
    "surrogate": ("classical:surrogate.safetensors", {}),
}


def sampled(backend: str, n: int, *, seed: int = SEED, **more: Any) -> tuple[Images, dict[str, Any]]:
    """Images, and the facts of their run that the table shows."""
    with Session("runs", seed=seed, backend=backend, **more) as session:
        images = session.generator("quantum-latent-flow", weights="mnist", **SETTINGS).sample(n)
        return images, facts_of(session.ledger, session.run)


def facts_of(ledger: Ledger, run: str) -> dict[str, Any]:
    """What the record says of a run: what ran, how often, decisions, drift, the largest compiled circuit."""
    entries = list(ledger.entries(run=run))
    lists = [entry.facts["artefacts"]["rows"] for entry in entries if entry.kind == "executions"]
    rows = [json.loads(line) for digest in lists for line in ledger.get(digest).splitlines()]
    plans = [entry.facts for entry in entries if entry.kind == "plan.admitted"]
    (made,) = [entry.facts for entry in entries if entry.kind == "images.made"]
    footprints = [p["footprint"] for p in plans if p.get("footprint")]
    return {
        "run": run,
        "ran": sorted({r["ran_backend"] for r in rows}),
        "kinds": made["device_kinds"],
        "quantum": made["quantum"],
        "requests": len(rows),
        "shots": sorted({r["shots"] for r in rows if r["shots"]}),
        "decisions": sorted({d for p in plans for d in p["decisions"]}),
        "drift": sorted({d for r in rows for d in r.get("drift", ())}),
        "errors": sorted({r["error"] for r in rows if r.get("error")}),
        "footprint": max(footprints, key=lambda f: int(f["depth"]), default=None),
    }


def accuracy(images: Images) -> dict[str, Any]:
    """How many are taken for the digit that was asked; Wilson's interval of 95 %."""
    asked = np.array(images.labels)
    right = int((shipped_network("mnist-28").classify(images.pixels) == asked).sum())
    low, high = wilson(right, len(asked))
    return {"right": right, "n": len(asked), "low": round(low, 3), "high": round(high, 3)}


def surrogate() -> None:
    """Fit the stand-in from proposals of other seeds, kept by a device that gives plain numbers."""
    from qimg_core.cli import main

    if Path("surrogate.safetensors").exists():
        return
    sampled("pennylane", MANY, seed=101, proposals="keep")
    words = ["surrogate", "fit", "--backend", "pennylane", "--kind", "features"]
    if main([*words, "--ledger", "runs", "--out", "surrogate.safetensors"]):
        raise SystemExit("the surrogate could not be fitted")


def make(arm: str) -> None:
    """One arm's picture and facts. Devices that are quick make more images for the accuracy than the picture shows."""
    backend, more = ARMS[arm]
    if arm == "surrogate":
        surrogate()
        os.environ["QIMG_CLASSICAL_MAX_WIRES"] = "0"  # the circuit is small enough to be simulated; not here
    images, facts = sampled(backend, FEW, **more)
    images.save(f"backends-{arm}.png", columns=FEW)
    counted = images if backend == NOISY else sampled(backend, MANY, **more)[0]
    os.environ.pop("QIMG_CLASSICAL_MAX_WIRES", None)
    Path(f"{arm}.json").write_text(json.dumps({**facts, "accuracy": accuracy(counted)}, indent=1) + "\n")


def table() -> str:
    """The arms that lie here, as Markdown."""
    lines = ["| | asked for and seen | ran | shots | record |", "|---|---|---|---|---|"]
    for arm in ARMS:
        if not Path(f"{arm}.json").exists():
            continue
        f = json.loads(Path(f"{arm}.json").read_text())
        a, print_ = f["accuracy"], f["footprint"]
        record = (
            f"run `{f['run']}`, {f['requests']} requests, {'no drift' if not f['drift'] else '; '.join(f['drift'])}"
        )
        if print_:
            record += f"; depth {print_['depth']}, {print_['two_qubit_gates']} two-qubit gates"
        seen = f"{a['right']} of {a['n']} ({a['low']:.0%} to {a['high']:.0%})"
        ran = f"{', '.join(f['ran'])} ({', '.join(f['kinds'])})"
        lines.append(f"| {arm} | {seen} | {ran} | {', '.join(map(str, f['shots'])) or 'exact'} | {record} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 2 or set(sys.argv[2:]) - set(ARMS):
        raise SystemExit(f"usage: every_backend.py FOLDER [{' '.join(ARMS)}]")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for name in sys.argv[2:] or ARMS:
        make(name)
        Path("table.md").write_text(table())
    print(table())
