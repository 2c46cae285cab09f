"""From measured rows to a document: ratios, limits, what was asked and what was reached (imports attrs, benchmarks)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from benchmarks.ceilings import limits
from benchmarks.measure import CANNOT
from benchmarks.task import Task
from benchmarks.workloads.base import BEST_PEER, OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Measured
    from benchmarks.workloads.base import Target, Workload

Row = dict[str, Any]


def ours(row: Row) -> bool:
    """Whether it is one of our engines."""
    return str(row["engine"]).startswith(OURS)


def add_limits(rows: Sequence[Row], task: Task, ceilings: dict[str, float]) -> None:
    """Cost per amplitude, wire and layer in ns, and the distance to the machine's limit."""
    for row in rows:
        bound = limits(task, ceilings, values_only=row["values_only"])
        row["limit_ms"] = bound["limit_ms"]
        row["over_limit"] = row["median_ms"] / bound["limit_ms"]
        row["ns_per_amplitude"] = 1e6 * row["median_ms"] / task.amplitudes_touched


def add_ratios(rows: Sequence[Row]) -> None:
    """The median over that of ours that does the same."""
    for row in rows:
        same = [r for r in rows if ours(r) and r["values_only"] == row["values_only"]]
        row["over_ours"] = row["median_ms"] / same[0]["median_ms"] if same else None


def peer_of(target: Target, rows: Sequence[Row], time: str) -> Row | None:
    """The row that a target compares with: by name, or the fastest that does the same work."""
    if target.peer != BEST_PEER:
        return next((r for r in rows if r["engine"] == target.peer), None)
    peers = [r for r in rows if not ours(r) and not r["values_only"]]
    return min(peers, key=lambda r: r[time], default=None)


def reached(target: Target, rows: Sequence[Row], time: str = "median_ms") -> tuple[float | None, str | None]:
    """(figure, peer's name) of a target in one case; None where there is no row to take it from.

    Args:
        target: what is asked.
        rows: of the case.
        time: the column that ratios are taken of, ``median_ms`` or ``cpu_ms``.
    """
    own = next((r for r in rows if r["engine"] == target.ours), None)
    if own is None:
        return None, None
    if target.metric in ("first_ms", "layer_share", "record_share"):
        return own.get(target.metric), None
    peer = peer_of(target, rows, time)
    if peer is None:
        return None, None
    if target.metric == "ratio":
        return peer[time] / own[time], peer["engine"]
    if not own["peak_mb"] or not peer["peak_mb"]:
        return None, peer["engine"]
    return own["peak_mb"] / peer["peak_mb"], peer["engine"]


def verdict(target: Target, figure: float | None) -> str:
    """goal, must, behind, or not measured."""
    if figure is None:
        return "not measured"

    def met(wanted: float) -> bool:
        return figure >= wanted if target.metric == "ratio" else figure <= wanted

    if target.goal is not None and met(target.goal):
        return "goal"
    return "must" if met(target.must) else "behind"


def evaluated(workload: Workload, rows: Sequence[Row], missing: Sequence[Row] = ()) -> list[Row]:
    """Each target in each of its cases.

    ``without`` names engines that might have been the best peer and were not measured.
    """
    out = []
    for target in workload.targets:
        for case in workload.cases:
            if target.cases and case.name not in target.cases:
                continue
            mine = [r for r in rows if r["case"] == case.name]
            figure, peer = reached(target, mine)
            wanted = {k: v for k, v in asdict(target).items() if k != "cases"}
            absent = [m for m in missing if m["case"] == case.name and not m["reason"].startswith(CANNOT)]
            out.append(
                {
                    **wanted,
                    "asked": target.peer,
                    "peer": peer or target.peer,
                    "case": case.name,
                    "reached": figure,
                    "reached_cpu": reached(target, mine, "cpu_ms")[0] if target.metric == "ratio" else None,
                    "verdict": verdict(target, figure),
                    "without": [m["engine"] for m in absent] if target.peer == BEST_PEER else [],
                }
            )
    return out


def document(
    workload: Workload, measured: Sequence[Measured], ceilings: dict[str, float], facts: dict[str, Any]
) -> dict[str, Any]:
    """What is written as JSON.

    Args:
        workload: what was measured.
        measured: a `Measured` for each of its cases.
        ceilings: of `benchmarks.ceilings.measured`.
        facts: machine, commit, time, load, settings.
    """
    rows: list[Row] = []
    missing: list[Row] = []
    for case, found in zip(workload.cases, measured, strict=True):
        mine = [dict(r) for r in found.rows]
        if isinstance(case.task, Task):
            add_limits(mine, case.task, ceilings)
            add_ratios(mine)
        rows += mine
        missing += [{"case": case.name, "engine": engine, "reason": reason} for engine, reason in found.missing]
    versions: dict[str, str] = {}
    for row in rows:
        versions |= row["versions"]
    return {
        "workload": workload.name,
        "title": workload.title,
        "rows": rows,
        "not_measured": missing,
        "targets": evaluated(workload, rows, missing),
        "ceilings": ceilings,
        "versions": dict(sorted(versions.items())),
        **facts,
    }
