"""The report: terminal lines, Markdown, one self-contained page, JSON (imports analysis, tables and all pictures)."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import TYPE_CHECKING, Any

from qimg_compare.ablation import ablation, bars_of
from qimg_compare.learning import learning_curves, losses_of
from qimg_compare.pictures import forest
from qimg_compare.result import run_folder
from qimg_compare.tables import (
    attribute_note,
    budget_table,
    difference_table,
    metric_table,
    operation_table,
    primary_words,
    verdict_words,
)
from qimg_compare.tradeoff import cost_quality, places_of
from qimg_compare.trial_tables import tuning_table
from qimg_core.cli.output import table as columns
from qimg_core.storage import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qimg_compare.analysis import Analysis
    from qimg_compare.plan import ComparePlan
    from qimg_compare.table import Table
    from qimg_core.plugins import Registry

SCHEMA = "qimg.compare.report/1"
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#111827}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{border-bottom:1px solid #d1d5db;padding:.25rem .7rem;"
    "text-align:left;vertical-align:top}th{background:#f3f4f6}.verdict{font-size:1.4rem;font-weight:bold}"
    ".note{color:#4b5563}figure{display:inline-block;margin:.5rem}img{image-rendering:pixelated;height:9rem}"
    "svg{max-width:52rem;display:block}code{background:#f3f4f6}div.wide{overflow-x:auto}"
)


def document(plan: ComparePlan, analysis: Analysis, *, data: str, network: str) -> dict[str, Any]:
    """The report as JSON without floats; the same results give the same document."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "plan": plan.digest,
        "data": {"name": plan.data, "digest": data},
        "network": network,
        "n": plan.n,
        **analysis.to_json(),
    }


def tables_of(plan: ComparePlan, analysis: Analysis, registry: Registry) -> tuple[Table, ...]:
    """All tables in reading order."""
    return (
        metric_table(plan, analysis),
        difference_table(plan, analysis),
        budget_table(plan, analysis),
        *((tuning_table(plan, analysis.tuning),) if analysis.tuning else ()),
        operation_table(plan, analysis, registry),
    )


def terminal(plan: ComparePlan, analysis: Analysis, tables: tuple[Table, ...]) -> list[str]:
    """Lines for a terminal: the verdict last, where the eye is."""
    lines: list[str] = []
    for t in tables:
        lines += [t.title, *("  " + line for line in columns(t.head, t.rows)), f"  {t.note}", ""]
    lines += [f"note: {remark}" for remark in analysis.remarks]
    lines += [f"failed: {f.arm}, seed {f.seed}: {f.reason}" for f in analysis.failures]
    return [*lines, primary_words(analysis), f"{plan.name}: {verdict_words(analysis)}"]


def markdown(plan: ComparePlan, analysis: Analysis, tables: tuple[Table, ...], record: Mapping[str, Any]) -> str:
    """Markdown for people."""
    lines = [f"# {plan.name}", "", f"**{verdict_words(analysis)}**", "", primary_words(analysis), ""]
    lines += [f"- {a.value}: {attribute_note(a)}" for a in analysis.attributes]
    lines += [f"- {remark}" for remark in analysis.remarks]
    lines += [f"- failed: {f.arm}, seed {f.seed}: {f.reason}" for f in analysis.failures]
    for t in tables:
        lines += ["", f"## {t.title}", "", _row(t.head), "|" + "---|" * len(t.head), *(_row(r) for r in t.rows)]
        lines += ["", t.note]
    lines += ["", "## Record", "", *(f"- {k}: {v}" for k, v in record.items()), ""]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def page(
    plan: ComparePlan, analysis: Analysis, tables: tuple[Table, ...], record: Mapping[str, Any], folder: Path
) -> str:
    """One HTML file that needs no other: tables, forest plots, images from the same noise."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(plan.name)}</title>',
        f'<style>{_STYLE}</style><h1>{escape(plan.name)}</h1><p class="verdict">{escape(verdict_words(analysis))}</p>',
        f"<p>{escape(primary_words(analysis))}</p><ul>",
        *(f"<li>{escape(a.value)}: {escape(attribute_note(a))}</li>" for a in analysis.attributes),
        *(f"<li>{escape(remark)}</li>" for remark in analysis.remarks),
        *(f"<li>failed: {escape(f'{f.arm}, seed {f.seed}: {f.reason}')}</li>" for f in analysis.failures),
        "</ul><h2>Forest plots</h2>",
        *forests(plan, analysis).values(),
    ]
    for name, svg in pictures(plan, analysis, folder).items():
        title, words = PICTURES[name]
        parts += [f"<h2>{title}</h2>", svg, f'<p class="note">{words}</p>']
    if grids := _grids(plan, analysis, folder):
        parts += [f"<h2>Images</h2><p>Seed {analysis.seeds[0]}: the same noise and classes in every arm.</p>", *grids]
    for t in tables:
        parts.append(f'<h2>{escape(t.title)}</h2><div class="wide"><table><tr>')
        parts += [f"<th>{escape(h)}</th>" for h in t.head]
        parts.append("</tr>")
        parts += ["<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in t.rows]
        parts.append(f'</table></div><p class="note">{escape(t.note)}</p>')
    parts.append("<h2>Record</h2><ul>")
    parts += [f"<li>{escape(k)}: <code>{escape(str(v))}</code></li>" for k, v in record.items()]
    return "".join([*parts, "</ul></html>\n"])


def forests(plan: ComparePlan, analysis: Analysis) -> dict[str, str]:
    """A forest plot for every metric that was compared."""
    everything = (*([analysis.primary] if analysis.primary else []), *analysis.others)
    found = {m: [c for c in everything if c.metric == m] for m in plan.every_metric}
    return {m: forest(comparisons) for m, comparisons in found.items() if comparisons}


PICTURES = {
    "ablation.svg": (
        "Ablation",
        "What each arm brings over the reference; the intervals are of single differences and decide nothing.",
    ),
    "cost-quality.svg": (
        "Cost and quality",
        "Means over seeds with 95 % intervals; ringed arms, joined by dashes, are the Pareto front of these means.",
    ),
    "learning.svg": (
        "Learning curves",
        "In brackets the seeds. Losses of two generators cannot be compared, and a lower loss is no better image.",
    ),
}
"""Files beside the report, each with its heading and how to read it."""


def pictures(plan: ComparePlan, analysis: Analysis, folder: Path) -> dict[str, str]:
    """All pictures but the forest plots, by file name, in the order of `PICTURES`; no curves where nothing was trained.

    Args:
        plan: that was run.
        analysis: of its results.
        folder: of the comparison: the losses lie beside the weights of each run.
    """
    found = {
        "ablation.svg": ablation(plan, bars_of(plan, analysis)),
        "cost-quality.svg": cost_quality(plan, *places_of(plan, analysis)),
    }
    curves = learning_curves(plan, losses_of(folder, plan, analysis.seeds))
    return found if curves is None else {**found, "learning.svg": curves}


def _grids(plan: ComparePlan, analysis: Analysis, folder: Path) -> list[str]:
    out = []
    for name in plan.names:
        file = run_folder(folder, name, analysis.seeds[0]) / "images.png"
        if file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            picture = f'<img alt="images of {escape(name)}" src="data:image/png;base64,{data}">'
            out.append(f"<figure>{picture}<figcaption>{escape(name)}</figcaption></figure>")
    return out


def write(
    folder: Path,
    plan: ComparePlan,
    analysis: Analysis,
    tables: tuple[Table, ...],
    *,
    found: Mapping[str, Any],
    record: Mapping[str, Any],
) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``report.json``, ``forest.svg`` and `pictures`; returns their paths.

    Args:
        folder: of the comparison.
        plan: that was run.
        analysis: of its results.
        tables: of `tables_of`.
        found: of `document`.
        record: where the ledger holds it, by name.
    """
    content = {
        "report.html": page(plan, analysis, tables, record, folder),
        "report.md": markdown(plan, analysis, tables, record),
        "report.json": json.dumps({**found, "record": dict(record)}, indent=2, sort_keys=True) + "\n",
        "forest.svg": forests(plan, analysis).get(plan.primary, forest([])),
        **pictures(plan, analysis, folder),
    }
    for name, text in content.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in content]
