"""`docs/reference/benchmarks.md` from the JSON documents and the remarks (imports benchmarks.workloads.base)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.workloads.base import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.workloads.base import Workload

PAGE = Path("docs/reference/benchmarks.md")
REMARKS = Path(__file__).with_name("remarks.toml")

INTRO = """\
# Benchmarks

Our engine beside its peers, on one core. This page is written by the measurement itself; the figures of a
workload come from one run.

```console
$ python -m benchmarks --setup     # once: the peers' environments, some GB
$ make bench                       # everything, about twenty minutes
$ make bench ONLY=W2               # one workload
```

**How.** Each engine runs in a process of its own, bound to the same core with one thread. Before anything is timed,
its values and its derivatives by weights and inputs are compared with a float64 program that shares no code with
any engine; an engine that is off by more than 1e-4 of an array's largest number is reported as wrong and not timed.
Then the engines take turns, call by call in changing order. A step is: fresh arrays, values, derivatives of a
weighted sum by weights and inputs, everything as numpy arrays. Given are the median over the turns and the
quartiles; *CPU* is the processor time of a step, which a busy machine disturbs less; *first call* is everything
from the circuit's description to the first result, after imports; *peak* is resident memory above that before the
first call. What an engine spends on compiling stands in its first call alone.

*ns* is nanoseconds for each amplitude (each entry of the density matrix), row, wire and layer. *over limit*
compares with the least time that this core needs for the arithmetic, at its measured matrix-product speed, or for
moving the state, whichever is longer; entanglers, encoding and read-out are not counted in it. *error* is the
largest difference from the judge.

All of this is classical simulation.
"""


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits without exponents."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text and abs(value) >= 1 else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def machine_lines(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where and when."""
    d = documents[0]
    m, c = d["machine"], d["ceilings"]
    versions: dict[str, str] = {}
    loads = [x for doc in documents for x in doc["load"]]
    for doc in documents:
        versions |= doc["versions"]
    commits = sorted(
        {doc["git"]["commit"][:12] + (" and changes" if doc["git"]["dirty"] else "") for doc in documents if doc["git"]}
    )
    when = sorted(doc["when"] for doc in documents)
    memory = "" if m["memory_mb"] is None else f"{m['memory_mb'] / 1024:.0f} GB"
    lines = ["## Machine", ""]
    lines += table(
        ["", ""],
        [
            ["CPU", f"{m['cpu']}, {m['cores']} cores, {m['simd']}, {memory}"],
            ["system", f"{m['system']}, Python {m['python']}"],
            ["measured", when[0] if when[0] == when[-1] else f"{when[0]} to {when[-1]}"],
            ["commit", ", ".join(commits) or "not a checkout"],
            ["load average meanwhile", f"{min(loads):.1f} to {max(loads):.1f} on {m['cores']} cores"],
            ["versions", ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))],
        ],
    )
    if max(loads) > m["cores"] / 2 + 1:
        lines += ["", "The machine was busy with other work: trust ratios, not milliseconds."]
    lines += ["", "What one core can do, the best of several trials:", ""]
    lines += table(
        ["", ""],
        [
            ["real matrix product (float32, 512)", f"{c['sgemm_gflops']:.0f} GF/s"],
            [
                "complex k x k times a long matrix, k = 4, 8, 16, 32",
                ", ".join(f"{c[f'cgemm{k}_gflops']:.0f}" for k in (4, 8, 16, 32)) + " GF/s",
            ],
            [
                "copy, bytes read and written: 256 kB, 8 MB, 256 MB, fresh 256 MB",
                ", ".join(
                    f"{c[k]:.0f}" for k in ("copy_256kB_gbs", "copy_8MB_gbs", "copy_256MB_gbs", "copy_fresh_256MB_gbs")
                )
                + " GB/s",
            ],
            [
                "one torch operation on four numbers; with its backward pass",
                f"{c['eager_op_us']:.1f}, {c['op_with_backward_us']:.1f} us",
            ],
        ],
    )
    return lines


_METRIC = {
    "first_ms": "first call, ms, at most",
    "memory": "peak memory over that of {peer}, at most",
    "layer_share": "layer's share of the step, at most",
    "record_share": "recording's share of the step, at most",
}


def target_lines(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was asked and what was reached."""
    rows = []
    for d in documents:
        for t in d["targets"]:
            if t["metric"] == "ratio":
                asked = "best peer" if t["asked"] == "best peer" else t["peer"]
                ours = "ours" if t["ours"] == OURS else t["ours"].replace(OURS, "ours")
                what = f"{asked} over {ours}, at least" + (f" ({t['peer']})" if t["asked"] == "best peer" else "")
            else:
                what = _METRIC[t["metric"]].format(peer=t["peer"])
            verdict = f"**{t['verdict']}**" if t["verdict"] == "behind" else t["verdict"]
            if t["without"]:
                verdict += f" without {', '.join(t['without'])}"
            rows.append([t["case"], what, number(t["must"]), number(t["goal"]), number(t["reached"])])
            rows[-1] += [number(t["reached_cpu"]), verdict]
    return ["## Asked and reached", "", *table(["case", "figure", "must", "goal", "reached", "by CPU time", ""], rows)]


def case_lines(d: Mapping[str, Any], case: str) -> list[str]:
    """One table."""
    rows = [r for r in d["rows"] if r["case"] == case]
    training = any("layer_share" in r for r in rows)
    body = []
    for r in rows:
        name = f"**{r['engine']}**" if r["engine"].startswith(("qimg", "quantum")) else r["engine"]
        cells = [name, number(r["median_ms"]), f"{number(r['low'])} to {number(r['high'])}", number(r["cpu_ms"])]
        cells += [number(r.get("over_ours"))] if not training else []
        cells += [number(r["first_ms"]), number(r["peak_mb"])]
        if training:
            cells += ["" if k not in r else f"{100 * r[k]:.1f} %" for k in ("layer_share", "record_share")]
        else:
            cells += [number(r.get("ns_per_amplitude")), number(r.get("over_limit"))]
        if d["workload"] == "W8":
            cells.append(f"{r['error']:.1f} sd")
        else:
            cells.append("" if r["error"] is None else f"{r['error']:.0e}")
        body.append(cells)
    head = (
        ["engine", "median ms", "quartiles", "CPU ms"]
        + ([] if training else ["over ours"])
        + ["first call ms", "peak MB"]
    )
    head += ["layer", "recording"] if training else ["ns", "over limit"]
    lines = [f"**{case}**", "", *table([*head, "error"], body)] if body else [f"**{case}**"]
    absent = [m for m in d["not_measured"] if m["case"] == case]
    if absent:
        lines += [""] + [f"- {m['engine']} not measured: {plain(m['reason'])}" for m in absent]
    return [*lines, ""]


def plain(text: str) -> str:
    """A message as one line of Markdown text, no paths of this machine."""
    words = [
        w if w.count("/") < 2 or w.startswith("http") else ".../" + w.rstrip("/").rsplit("/", 1)[-1]
        for w in text.split()
    ]
    return " ".join(words).replace("|", "\\|").replace("<", "&lt;")


def page(workloads: Sequence[Workload], documents: Sequence[Mapping[str, Any]], remarks: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        workloads: in order.
        documents: theirs, in the same order.
        remarks: Markdown by workload: why a figure is what it is.
    """
    lines = [INTRO, *machine_lines(documents), "", *target_lines(documents), ""]
    for workload, d in zip(workloads, documents, strict=True):
        lines += [f"## {workload.name}: {workload.title}", "", workload.about.replace("<", "&lt;"), ""]
        for case in workload.cases:
            lines += case_lines(d, case.name)
        if workload.name in remarks:
            lines += [remarks[workload.name].strip(), ""]
    return "\n".join(lines).rstrip() + "\n"


def read_remarks(path: Path = REMARKS) -> dict[str, str]:
    """Text by workload."""
    return dict(tomllib.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
