"""Write the signed record of a training beside its weights: entries, proofs, checkpoint, public keys.

usage: training_record.py LEDGER RUN OUT.json
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from qimg_core.ledger import SQLiteLedger

KINDS = ("run.started", "training.started", "plan.admitted", "weights.saved", "run.finished")


def record(folder: str, run: str) -> dict[str, object]:
    """The run's main entries with their inclusion proofs against the newest checkpoint."""
    with SQLiteLedger.open(folder, create=False, read_only=True) as ledger:
        note = ledger.checkpoints()[-1]
        size = int(note.split(b"\n")[1])
        entries = []
        for entry in ledger.entries(run=run):
            if entry.kind in KINDS and entry.index < size:
                proof = ledger.inclusion(entry.index, size)
                hashes = [base64.b64encode(h).decode() for h in proof.proof]
                entries.append({"index": entry.index, "body": entry.body.decode(), "proof": hashes})
        return {
            "schema": "qimg.training-record/1",
            "checkpoint": note.decode(),
            "keys": [str(key) for key in ledger.keys],
            "entries": entries,
        }


if __name__ == "__main__":
    _, folder, run, out = sys.argv
    Path(out).write_text(json.dumps(record(folder, run), indent=1) + "\n", encoding="utf-8")
