"""``python -m benchmarks.ledger``: measure, and print a table (imports measure, mlflow_peer, benchmarks.machine)."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from benchmarks.ledger.measure import Figure, batched, clean, proofs, single, together, verified
from benchmarks.ledger.mlflow_peer import figures
from benchmarks.machine import git, machine, now

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--callers", type=int, default=256)
    parser.add_argument("--entries", type=int, default=50_000, help="for many callers and for batches, each")
    parser.add_argument("--verify", type=int, default=1_000_000, help="entries of the log that is verified")
    parser.add_argument("--peer", type=int, default=500, help="calls of each kind to MLflow's stores")
    parser.add_argument("--folder", help="where to write: the disk that is measured; a temporary folder by default")
    parser.add_argument("--json", metavar="FILE", help="write the figures too")
    chosen = parser.parse_args(arguments)
    facts = {"machine": machine(), "load": os.getloadavg(), "versions": versions(), "git": git(), "time": now()}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = measure(Path(folder), chosen)
    print("\n".join(table(found, facts)))
    if chosen.json:
        shown = [asdict(one) if isinstance(one, Figure) else one for one in found]
        Path(chosen.json).write_text(json.dumps({**facts, "figures": shown}, indent=2) + "\n")
    return 0


def measure(place: Path, chosen: argparse.Namespace) -> list[Figure | str]:
    """All of it, on one disk, one after the other."""
    found: list[Figure | str] = [single(place / "single", 500)]
    together(place / "warm", chosen.callers, chosen.callers * 4)
    found.append(together(place / "together", chosen.callers, chosen.entries))
    found.append(batched(place / "batched", 1000, chosen.entries))
    for name in ("single", "warm", "together", "batched"):
        clean(place / name)
    found += figures(place / "mlflow", chosen.peer)
    clean(place / "mlflow")
    batched(place / "long", 5000, chosen.verify)
    found.append(verified(place / "long", strict=False))
    found.append(verified(place / "long", strict=True))
    found.append(proofs(place / "long"))
    return found


def versions() -> dict[str, str]:
    """Of everything whose speed is measured."""
    found = {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    for name in ("qimg-core", "cryptography", "mlflow-skinny", "sqlalchemy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def table(found: Sequence[Figure | str], facts: dict[str, Any]) -> list[str]:
    """Lines to print. Rates are units per second of the clock, and of this process's own processor time."""
    head = ("WHAT", "COUNT", "PER SECOND", "PER CPU SECOND", "P50 MS", "P99 MS", "")
    rows: list[tuple[str, ...]] = [head]
    for one in found:
        if isinstance(one, Figure):
            times = ["" if value is None else f"{value * 1e3:.2f}" for value in (one.p50, one.p99)]
            cpu = f"{one.count / one.cpu:,.0f}" if one.cpu else ""
            rows.append((one.what, f"{one.count:,}", f"{one.count / one.wall:,.0f}", cpu, *times, one.note))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [one for one in found if isinstance(one, str)]
    host = facts["machine"]
    load = ", ".join(f"{value:.1f}" for value in facts["load"])
    return [
        f"{host['cpu']}, {host['cores']} cores, {host['memory_mb']:,} MB, {host['system']}; load before: {load}",
        ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "sealed: on the disk, and under a head signed with Ed25519 and ML-DSA-44; records of 1,450 bytes",
        *lines,
    ]


if __name__ == "__main__":
    sys.exit(main())
