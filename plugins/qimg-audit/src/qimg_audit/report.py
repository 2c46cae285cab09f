"""The report of an audit by sample: one document, and the same as Markdown and HTML (imports sampling, checking)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qimg_audit.sampling import estimate
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_audit.checking import Checked
    from qimg_audit.sampling import Estimate

_HEAD = ("entry", "kind", "run", "risk factors", "chance", "verdict", "why")


def document(checked: Sequence[Checked], plan: dict[str, Any], of: int) -> dict[str, Any]:
    """The report, numbers as strings.

    Three shares are given: of the decided items; and with every undecided item counted as right, and as wrong.

    Args:
        checked: the drawn items, audited.
        plan: facts of ``audit.planned``.
        of: items in the population.
    """
    chances = [c.chance for c in checked]
    failed = [c.verdict is Verdict.FAIL for c in checked]
    unclear = [c.verdict is Verdict.INCONCLUSIVE for c in checked]
    return {
        "schema": "qimg.audit.sample/1",
        "plan": plan,
        "counts": {v.value: sum(c.verdict is v for c in checked) for v in (Verdict.PASS, Verdict.FAIL)}
        | {"inconclusive": sum(unclear)},
        "failures": _texts(estimate(chances, failed, of)),
        "failures_at_most": _texts(estimate(chances, [f or u for f, u in zip(failed, unclear, strict=True)], of)),
        "items": [c.to_json() for c in checked],
    }


def _texts(found: Estimate) -> dict[str, Any]:
    from attrs import asdict

    return {k: repr(v) if isinstance(v, float) else v for k, v in asdict(found).items()}


def share(found: dict[str, Any]) -> str:
    """``3.2 % [0.1 %, 12.0 %]``."""
    return "{:.1%} [{:.1%}, {:.1%}]".format(*(float(found[k]) for k in ("share", "low", "high")))


def summary(report: dict[str, Any]) -> list[str]:
    """What a reader has to know, in lines."""
    plan, counts = report["plan"], report["counts"]
    effective = f"{float(report['failures']['effective']):.1f}"
    lines = [
        f"{plan['n']} of {plan['of']} items drawn with seed {plan['seed']}, chances by risk, without replacement",
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['inconclusive']} could not be told",
        f"failures in the whole record: {share(report['failures'])} (about 95 %, effective sample {effective})",
    ]
    if counts["inconclusive"]:
        lines.append(f"if every undecided item were a failure: {share(report['failures_at_most'])}")
    if not plan["replay"]:
        lines.append("nothing was replayed: the items were verified only")
    return lines


def _rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for item in report["items"]:
        bad = [s for s in item["steps"] if s["verdict"] != "pass"]
        why = "; ".join(f"{s['name']}: {s['said']}" for s in bad)
        factors = ", ".join(item["factors"]) or "none"
        chance = f"{float(item['chance']):.3f}"
        rows.append((str(item["entry"]), item["kind"], item["run"], factors, chance, item["verdict"], why))
    return rows


def markdown(report: dict[str, Any]) -> str:
    """The report for people and pull requests."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    lines = ["# Audit by sample", "", f"Log: `{report['plan']['log']}`", ""]
    lines += [f"- {line}" for line in summary(report)]
    lines += ["", f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    lines += [f"| {' | '.join(cell(c) for c in row)} |" for row in _rows(report)]
    return "\n".join([*lines, ""])


def html(report: dict[str, Any]) -> str:
    """The same as one page without scripts or anything from elsewhere."""

    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

    style = "body{font-family:sans-serif;margin:2em}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><title>Audit by sample</title>',
            f"<style>{style} table{{border-collapse:collapse}}</style></head><body>",
            f"<h1>Audit by sample</h1><p>Log: <code>{escape(report['plan']['log'])}</code></p><ul>",
            *(f"<li>{escape(line)}</li>" for line in summary(report)),
            "</ul><table>",
            row(_HEAD, "th"),
            *(row(r, "td") for r in _rows(report)),
            "</table></body></html>",
            "",
        ]
    )
