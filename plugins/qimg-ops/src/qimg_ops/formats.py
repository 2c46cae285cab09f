"""What the gate writes: JUnit XML, SARIF 2.1.0, Markdown (imports checks).

JUnit: the common subset of testsuite, testcase, failure, error, skipped. SARIF: OASIS Standard 2.1.0, 27 March 2020.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from qimg_core.verdict import Verdict
from qimg_ops.checks import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_ops.checks import Finding, Outcome

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """One test case for each check. A check that could not tell is an error, one that did not apply is skipped."""
    count = {v: sum(o.verdict is v for o in outcomes) for v in Verdict}
    numbers = {
        "tests": str(len(outcomes)),
        "failures": str(count[Verdict.FAIL]),
        "errors": str(count[Verdict.INCONCLUSIVE]),
        "skipped": str(count[Verdict.NOT_APPLICABLE]),
    }
    root = ET.Element("testsuites", {"name": "qimg gate", **numbers})
    suite = ET.SubElement(root, "testsuite", {"name": "qimg gate", **numbers})
    tags = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error", Verdict.NOT_APPLICABLE: "skipped"}
    for outcome in outcomes:
        case = ET.SubElement(suite, "testcase", {"classname": "qimg.gate", "name": outcome.check})
        if outcome.verdict in tags:
            mark = ET.SubElement(case, tags[outcome.verdict], {"message": _clean(outcome.what)})
            mark.text = _clean("\n".join(_line(f) for f in outcome.findings))
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _CONTROL.sub("?", text)


def _line(finding: Finding) -> str:
    where = "" if finding.file is None else f"{finding.file}{'' if finding.line is None else f':{finding.line}'}: "
    return f"{finding.rule}: {where}{finding.message}"


def sarif(outcomes: Iterable[Outcome], version: str) -> dict[str, Any]:
    """One run, its rules, and one result for each finding."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in sorted(RULES.items())]
    index = {rule["id"]: i for i, rule in enumerate(rules)}
    results = []
    for outcome in outcomes:
        for finding in outcome.findings:
            result: dict[str, Any] = {
                "ruleId": finding.rule,
                "ruleIndex": index[finding.rule],
                "level": "error" if outcome.verdict is Verdict.FAIL else "warning",
                "message": {"text": finding.message},
            }
            if finding.file is not None:
                place: dict[str, Any] = {"artifactLocation": {"uri": finding.file.replace("\\", "/")}}
                if finding.line is not None:
                    place["region"] = {"startLine": finding.line}
                result["locations"] = [{"physicalLocation": place}]
            results.append(result)
    driver = {"name": "qimg gate", "version": version, "rules": rules}
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def markdown(outcomes: Iterable[Outcome], verdict: Verdict) -> str:
    """A table and the findings."""
    rows = list(outcomes)
    lines = ["# Gate", "", f"**{verdict.value}**", "", "| check | verdict | |", "|---|---|---|"]
    lines += [f"| {o.check} | {o.verdict.value} | {_cell(o.what)} |" for o in rows]
    for outcome in rows:
        if outcome.findings:
            lines += ["", f"## {outcome.check}", "", *(f"- {_cell(_line(f))}" for f in outcome.findings)]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
