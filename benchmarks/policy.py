"""``python -m benchmarks.policy``: how long an embedded decision takes, beside bare Cedar in the same run.

Imports qimg_policy, benchmarks.machine. Decisions of the kernel (typed input, Cedar with its schema, evidence of every
control) for the shipped profiles: allowed in the process, allowed at a provider, refused by controls, refused by a
forbid. The peer is `cedarpy.is_authorized` with the parsed policies, the bundle's schema and all fields, and nothing
around it; the kernel asks twice, each time with the fields that the rules read. Both are measured in turns. Wall times
are in microseconds; on a machine that does other things, too, their p99 says how long others ran. The processor time of
the thread does not, and is what is bounded.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import git, machine, now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STATED = {"sensitivity": "public", "export_class": "not_controlled", "purpose": "research"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 1 where a p99 of the kernel's processor time is over the bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--decisions", type=int, default=5_000, help="of each kind")
    parser.add_argument("--bound", type=float, default=1_000.0, help="processor microseconds for the p99")
    parser.add_argument("--json", metavar="FILE", help="write the figures too")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()
    facts = {"machine": machine(), "load": load, "cedarpy": version("cedarpy"), "git": git(), "time": now()}
    found = [row for profile in ("solo", "team", "regulated") for row in measure(profile, chosen.decisions)]
    print(f"cedarpy {facts['cedarpy']}, load {load[0]:.1f}")
    print("| profile | plan | decisions | wall p50 | p99 | processor p50 | p99 | bare Cedar: processor p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in found:
        numbers = (row[k] for k in ("p50", "p99", "cpu_p50", "cpu_p99", "bare_cpu_p50", "bare_cpu_p99"))
        print(f"| {row['profile']} | {row['plan']} | {row['n']} | " + " | ".join(f"{n:.0f}" for n in numbers) + " |")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({**facts, "figures": found}, indent=2) + "\n")
    return int(max(row["cpu_p99"] for row in found) > chosen.bound)


def measure(profile: str, n: int) -> list[dict[str, Any]]:
    """One row for each kind of plan: kernel and bare Cedar in turns of a hundred."""
    import cedarpy

    from qimg_policy.bundle import shipped_bundle
    from qimg_policy.cases import BASES
    from qimg_policy.cedar import CedarEngine
    from qimg_policy.kernel import decide, prepare
    from qimg_policy.schema import cedar_context, context_types, schema_text

    bundle = shipped_bundle(profile)
    settings, engine = bundle.settings, CedarEngine(bundle)
    policies = cedarpy.PolicySet.from_str(bundle.policies)
    schema = cedarpy.Schema.from_str(schema_text(settings))
    plans = {
        "in this process, allowed": BASES["local"],
        "at a provider, allowed": {**BASES["remote"], **STATED},
        "at a provider, refused": BASES["remote"],
        "withdrawn consent, refused": {**BASES["local"], "consent": "withdrawn"},
    }
    rows = []
    for name, facts in plans.items():
        given = prepare(settings, facts)
        request = {
            "principal": {"type": "Run", "id": "run"},
            "action": {"type": "Action", "id": str(given.activity)},
            "resource": {"type": "Device", "id": "device"},
            "context": cedar_context(given, context_types(settings), settings.environment),
        }
        kernel, bare = _Timed(), _Timed()
        gc.collect()
        for _ in range(max(1, n // 100)):
            kernel.run(lambda: decide(engine, settings, facts), 100)  # noqa: B023
            bare.run(lambda: cedarpy.is_authorized(request, policies, [], schema), 100)  # noqa: B023
        rows.append(
            {
                "profile": profile,
                "plan": name,
                "n": len(kernel.wall),
                "verdict": decide(engine, settings, facts).verdict,
                "p50": at(kernel.wall, 50),
                "p99": at(kernel.wall, 99),
                "cpu_p50": at(kernel.cpu, 50),
                "cpu_p99": at(kernel.cpu, 99),
                "bare_cpu_p50": at(bare.cpu, 50),
                "bare_cpu_p99": at(bare.cpu, 99),
            }
        )
    return rows


def at(times: list[float], percent: int) -> float:
    """A percentile."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


class _Timed:
    """Wall and processor times of calls, in microseconds."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def run(self, call: Callable[[], object], n: int) -> None:
        for _ in range(n):
            start, spent = time.perf_counter_ns(), time.thread_time_ns()
            call()
            self.cpu.append((time.thread_time_ns() - spent) / 1000)
            self.wall.append((time.perf_counter_ns() - start) / 1000)


if __name__ == "__main__":
    sys.exit(main())
