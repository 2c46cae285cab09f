"""`python -m benchmarks`: measure our engine beside its peers (see docs/reference/benchmarks.md).

Writes out/bench/NAME.json for each workload, and, when there is one for every workload, the page in docs.
``--quick`` takes few turns, the first case of each workload and the peers that a target names, and writes to
out/bench/quick alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from attrs import evolve

from benchmarks.client import ONE_THREAD, ROOT
from benchmarks.machine import git, idlest_core, machine, now
from benchmarks.measure import Settings, measure, quick
from benchmarks.page import PAGE, page, read_remarks
from benchmarks.peers import setup
from benchmarks.results import document, evaluated
from benchmarks.workloads import catalogue
from benchmarks.workloads.base import BEST_PEER

if TYPE_CHECKING:
    from benchmarks.workloads.base import Workload

OUT = Path("out/bench")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME[,NAME]", help="workloads, such as W2")
    parser.add_argument("--engines", metavar="TEXT", help="only engines whose name contains this (ours always)")
    parser.add_argument("--quick", action="store_true", help="few turns, one case, the peers that a target names")
    parser.add_argument("--all", action="store_true", help="also the engines that are left out for their time")
    parser.add_argument("--setup", action="store_true", help="make the peers' environments, measure nothing")
    parser.add_argument("--rounds", type=int, help="turns of each engine")
    parser.add_argument("--minutes", type=float, help="start nothing new after so long (default 25, with --quick 4)")
    parser.add_argument("--core", type=int, help="CPU to run on (default: the idlest; -1: any)")
    return parser.parse_args(words)


def chosen(args: argparse.Namespace) -> list[Workload]:
    """The workloads asked for.

    Raises:
        SystemExit: an unknown name.
    """
    known = catalogue()
    names = list(known) if args.only is None else [n.strip().upper() for n in args.only.split(",")]
    if unknown := [n for n in names if n not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
    return [narrowed(known[n], args) for n in names]


def narrowed(workload: Workload, args: argparse.Namespace) -> Workload:
    """Its cases with the engines asked for; ``--quick`` keeps the first case alone."""
    cases = []
    for case in workload.cases[:1] if args.quick and workload.name != "TS" else workload.cases:
        names = case.engines + (case.slow if args.all else ())
        if args.quick and workload.name != "TS":
            named = {t.peer for t in workload.targets} | {t.ours for t in workload.targets} | set(case.engines[:2])
            names = tuple(n for n in names if n in named)
        if args.engines:
            names = tuple(n for n in names if args.engines.lower() in n.lower() or n.startswith(("qimg", "quantum")))
        cases.append(evolve(case, engines=names))
    targets = workload.targets
    if args.quick or args.engines:  # the best peer may not be among them
        kept = {case.name for case in cases}
        targets = tuple(t for t in targets if t.peer != BEST_PEER and (not t.cases or kept & set(t.cases)))
    return evolve(workload, cases=cases, targets=targets)


def ceilings(core: int | None) -> dict[str, float]:
    """Of this machine, in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.ceilings", *([] if core is None else [str(core)])]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    out: dict[str, float] = json.loads(done.stdout)
    return out


def run(args: argparse.Namespace) -> None:
    """Measure, write, say."""
    core = idlest_core() if args.core is None else args.core if args.core >= 0 else None
    minutes = args.minutes or (4 if args.quick else 25)
    partial = args.quick or args.engines is not None  # such figures do not belong on the page
    folder = OUT / ("quick" if args.quick else "partial" if partial else "")
    settings = Settings(core=core, deadline=monotonic() + 60 * minutes, work=OUT / "work")
    settings = quick(settings) if args.quick else settings
    settings = evolve(settings, rounds=args.rounds) if args.rounds else settings
    folder.mkdir(parents=True, exist_ok=True)
    start, speeds = monotonic(), ceilings(core)
    for workload in chosen(args):
        load = os.getloadavg()[0]
        print(f"{workload.name}: {workload.title}", flush=True)
        found = [measure(case, settings, say=lambda text: print(text, flush=True)) for case in workload.cases]
        facts: dict[str, Any] = {
            "machine": machine(),
            "git": git(),
            "when": now(),
            "load": [load, os.getloadavg()[0]],
            "core": core,
            "quick": args.quick,
        }
        result = document(workload, found, speeds, facts)
        (folder / f"{workload.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for row in result["rows"]:
            print(
                f"  {row['case']}: {row['engine']}: {row['median_ms']:.3g} ms ({row['low']:.3g} to {row['high']:.3g}), "
                f"CPU {row['cpu_ms']:.3g}"
            )
        for t in result["targets"]:
            got = "-" if t["reached"] is None else f"{t['reached']:.3g}"
            got += "" if t["reached_cpu"] is None else f", {t['reached_cpu']:.3g} by CPU time"
            without = f" without {', '.join(t['without'])}" if t["without"] else ""
            asked = f"{t['metric']} {t['peer']}".strip()
            print(f"  {t['case']}: {asked}: {got} (must {t['must']}, goal {t['goal']}): {t['verdict']}{without}")
    print(f"{monotonic() - start:.0f} s")
    everything = [narrowed(w, args) for w in catalogue().values()]
    write_page(everything, folder, folder / "benchmarks.md" if partial else PAGE)


def write_page(workloads: list[Workload], folder: Path, target: Path) -> None:
    """The page, once every workload has been measured.

    Args:
        workloads: all of them.
        folder: where their JSON documents are.
        target: the page.
    """
    known = {w.name: w for w in workloads}
    missing = [name for name in known if not (folder / f"{name}.json").exists()]
    if missing:
        print(f"{target} is written when every workload has been measured; not yet: {', '.join(missing)}")
        return
    documents = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in known]
    for workload, d in zip(workloads, documents, strict=True):  # what is asked stands in the catalogue alone
        d["targets"] = evaluated(workload, d["rows"], d["not_measured"])
    target.write_text(page(workloads, documents, read_remarks()), encoding="utf-8")
    print(f"wrote {target}")


def main(words: list[str] | None = None) -> int:
    """Exit status: 0, or 1 where an environment could not be made."""
    args = arguments(words)
    os.chdir(ROOT)
    if args.setup:
        return int(any(setup().values()))
    run(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
