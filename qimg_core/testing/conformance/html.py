"""A report as one HTML file that needs nothing else (floor 8; standard library).

Each verdict is shown as a word and not only as a colour; evidence folds out; tables scroll on narrow screens.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qimg_core.testing.conformance.report import CaseResult, Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --ground: #ffffff; --line: #d5dae0; --soft: #f4f6f8;
  --pass: #1a6b34; --fail: #b3261e; --inconclusive: #8a5a00; --not_applicable: #5b6570; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --ground: #14171a; --line: #353b42; --soft: #1d2125;
  --pass: #6fd08c; --fail: #ff8a80; --inconclusive: #f2c14e; --not_applicable: #9aa5b1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--line); }
th { background: var(--soft); } td.case, td.time { font-family: ui-monospace, monospace; white-space: nowrap; }
.verdict { font-weight: 600; white-space: nowrap; }
.pass { color: var(--pass); } .fail { color: var(--fail); }
.inconclusive { color: var(--inconclusive); } .not_applicable { color: var(--not_applicable); }
pre { margin: .4rem 0; padding: .6rem; background: var(--soft); overflow-x: auto; font-size: .85rem; }
summary { cursor: pointer; } .words { max-width: 60rem; overflow-wrap: anywhere; }
"""


def to_html(report: Report) -> str:
    """The whole report as one page."""
    title = f"Conformance of {report.kind} {report.subject}"
    counted = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in report.counted().items() if n)
    document = report.to_json()
    rows = "\n".join(_row(r) for r in report.results)
    verdict, word = report.verdict.value, report.verdict.value.replace("_", " ")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p><span class="verdict {verdict}">{escape(word)}</span>: {escape(counted)}. {escape(report.at)}.</p>
<h2>Cases</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">Case</th><th scope="col">Verdict</th><th scope="col">What is asserted, what was found</th>
<th scope="col">Seconds</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
{_section("What the component claims", document["claims"])}
{_section("Settings of the kit", document["settings"])}
{_section("Environment and versions", document["environment"])}
</body>
</html>
"""


def _row(result: CaseResult) -> str:
    document = result.to_json()
    evidence = document["evidence"]
    more = f"<details><summary>evidence</summary>{_pre(evidence)}</details>" if evidence else ""
    verdict = result.verdict.value
    return (
        f'<tr><td class="case">{escape(result.case)}</td>'
        f'<td class="verdict {verdict}">{escape(verdict.replace("_", " "))}</td>'
        f'<td class="words"><strong>{escape(result.title)}</strong><br>{escape(result.outcome.reason)}{more}</td>'
        f'<td class="time">{result.seconds:.2f}</td></tr>'
    )


def _section(title: str, document: Any) -> str:
    return f"<h2>{escape(title)}</h2>\n{_pre(document)}" if document else ""


def _pre(document: Any) -> str:
    return f"<pre>{escape(json.dumps(document, indent=2, ensure_ascii=False))}</pre>"
