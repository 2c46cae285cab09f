"""The checks of the gate, each over files or the record of a project (imports qimg_audit, qimg_policy, qimg_rollout).

A check never raises for what it finds: it answers with a verdict and findings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_audit.gaps import find_gaps
from qimg_core.errors import LedgerCorrupt, LedgerError, QimgError
from qimg_core.verdict import Verdict
from qimg_policy.bundle import find_bundle
from qimg_policy.cases import read_cases, run_case
from qimg_policy.gate import engine_of
from qimg_policy.lint import lint
from qimg_rollout.serving import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from qimg_core.ledger.base import Ledger
    from qimg_ops.settings import GateSettings

COMPARISON = "compare.finished"
_CLAIM = re.compile(
    r"\b(?:better|worse|outperform\w*|superior\w*|inferior\w*|beats?|wins?|advantag\w*|improve[sd]? (?:on|over))\b",
    re.IGNORECASE,
)
_CITED = re.compile(r"\bcomparison\b[^\n]{0,80}?\bentry (\d{1,15})\b", re.IGNORECASE)


@frozen(kw_only=True)
class Finding:
    """One thing that is wrong or cannot be told.

    Args:
        rule: id of the rule, see `RULES`.
        message: in words, with what would satisfy it.
        file: relative to the project, with the line from 1 on; None where it is about the record.
    """

    rule: str
    message: str
    file: str | None = None
    line: int | None = None


def _findings(values: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Outcome:
    """How one check ended; ``what`` is said in one line."""

    check: str
    verdict: Verdict
    what: str
    findings: tuple[Finding, ...] = field(default=(), converter=_findings)


RULES = {
    "QG001": "the record holds: entries, signatures, artefacts",
    "QG002": "the record has no hole that nobody stated",
    "QG003": "every policy bundle is free of errors",
    "QG004": "every case of every policy bundle comes out as expected",
    "QG005": "a model card is there and has its sections",
    "QG006": "a comparative claim cites a comparison on record, with its verdict",
    "QG007": "a dataset has a manifest that training would accept",
    "QG008": "a comparison was registered before it ran, and has an accepted verdict",
    "QG009": "a flag's canary passed",
    "QG010": "no incident is open",
}


def judged(check: str, findings: Iterable[Finding], good: str) -> Outcome:
    """Fail where there is a finding, else pass."""
    found = tuple(findings)
    if not found:
        return Outcome(check=check, verdict=Verdict.PASS, what=good)
    return Outcome(check=check, verdict=Verdict.FAIL, what=f"{len(found)} findings", findings=found)


def check_record(ledger: Ledger, settings: GateSettings) -> tuple[Outcome, Outcome]:
    """``verify`` and ``gaps``."""
    done = ledger.verify()
    wrong = [Finding(rule="QG001", message=str(p)) for p in done.problems]

    def holes() -> Outcome:
        found = [g for g in find_gaps(ledger, late=settings.late) if g.hole]
        gaps = [Finding(rule="QG002", message=f"{g.kind.value}: {g.where}: {g.what}") for g in found]
        return judged("record has no holes", gaps, "no holes")

    verified = judged("record verifies", wrong, f"{done.entries} entries, {done.signatures} signatures")
    return verified, tried("record has no holes", holes)


def tried(check: str, call: Callable[[], Outcome]) -> Outcome:
    """A check over the record; where an entry that it needs cannot be read, it cannot tell."""
    try:
        return call()
    except LedgerCorrupt as error:
        finding = Finding(rule="QG001", message=f"{error.message}: qimg verify names the first bad entry")
        return Outcome(check=check, verdict=Verdict.INCONCLUSIVE, what="the record cannot be read", findings=[finding])


def check_policies(root: Path, bundles: Iterable[str]) -> Outcome:
    """Lint each bundle and run its cases."""
    found, cases = [], 0
    for name in bundles:
        where = str(root / name) if (root / name).is_dir() else name
        try:
            bundle = find_bundle(where)
            found += [
                Finding(rule="QG003", message=f"{r.where}: {r.what}", file=name)
                for r in lint(bundle)
                if r.level == "error"
            ]
            engine, tests = engine_of(bundle), read_cases(bundle)
            if not tests:
                found.append(Finding(rule="QG004", message="it has no cases: add tests/*.json", file=name))
            for case in tests:
                cases += 1
                outcome = run_case(engine, bundle, case)
                if outcome.problem:
                    message = f"{case.name}: {outcome.problem}"
                    found.append(Finding(rule="QG004", message=message, file=f"{name}/{case.file}"))
        except QimgError as error:
            found.append(Finding(rule="QG003", message=error.message, file=name))
    return judged("policies", found, f"{cases} cases come out as expected")


def check_cards(root: Path, ledger: Ledger | None, files: Iterable[str], sections: Iterable[str]) -> Outcome:
    """Sections, and claims against the record."""
    wanted, found, count = tuple(sections), [], 0
    for name in files:
        count += 1
        try:
            text = (root / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            found.append(Finding(rule="QG005", message="it cannot be read: write the card", file=name))
            continue
        heads = {line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")}
        found += [
            Finding(rule="QG005", message=f"the section {section!r} is missing", file=name)
            for section in wanted
            if section.lower() not in heads
        ]
        found += _claims(name, text, ledger)
    return judged("model cards", found, f"{count} cards")


def _claims(name: str, text: str, ledger: Ledger | None) -> list[Finding]:
    lines = text.splitlines()
    claims = [(i, m[0]) for i, line in enumerate(lines, 1) for m in [_CLAIM.search(line)] if m is not None]
    if not claims:
        return []
    line, word = claims[0]
    verdicts = []
    for cited in _CITED.finditer(text):
        try:
            entry = None if ledger is None else ledger.entry(int(cited[1]))
        except LedgerError:
            entry = None
        if entry is None or entry.kind != COMPARISON:
            message = f"entry {cited[1]} is no comparison of this record"
            return [Finding(rule="QG006", message=message, file=name, line=line)]
        verdicts.append(str(entry.facts["verdict"]))
    if not verdicts:
        message = f"{word!r} is a claim: cite its comparison, e.g. 'comparison: entry 12', with the verdict's words"
        return [Finding(rule="QG006", message=message, file=name, line=line)]
    missing = [v for v in verdicts if v.lower() not in text.lower()]
    return [
        Finding(rule="QG006", message=f"the cited verdict is {v!r}, and the card does not say so", file=name, line=line)
        for v in missing
    ]


def check_manifests(root: Path, ledger: Ledger | None, folders: Iterable[str]) -> Outcome:
    """What a training would say to each dataset's manifest."""
    try:
        from qimg_data.building import data_path, manifest_path
        from qimg_data.checking import check_manifest
        from qimg_data.rules import Rules, rules_of
    except ImportError:
        message = "manifests cannot be checked: pip install qimg-data"
        finding = Finding(rule="QG007", message=message)
        return Outcome(check="data manifests", verdict=Verdict.INCONCLUSIVE, what=message, findings=(finding,))
    rules = Rules() if ledger is None else rules_of(ledger)[0]
    found, count = [], 0
    for name in folders:
        count += 1
        path = manifest_path(root / name)
        if path is None or not path.exists():
            found.append(Finding(rule="QG007", message="no manifest: qimg manifest new", file=name))
            continue
        checked = check_manifest(path, data_path(root / name), rules, ledger=ledger)
        found += [
            Finding(rule="QG007", message=f"{f.code}: {f.reason}; {f.satisfy}", file=name) for f in checked.findings
        ]
    return judged("data manifests", found, f"{count} manifests")


def check_comparisons(ledger: Ledger, names: Iterable[str], accept: Iterable[str]) -> Outcome:
    """The newest finished comparison of each name."""
    newest = {e.facts["name"]: e for e in ledger.entries(kind=COMPARISON)}
    found, accepted, undecided, count = [], set(accept), 0, 0
    for name in names:
        count += 1
        entry = newest.get(name)
        if entry is None:
            found.append(Finding(rule="QG008", message=f"{name}: not on record: qimg compare PLAN"))
            continue
        verdict = str(entry.facts["verdict"])
        if not entry.facts["pre_registered"]:
            found.append(Finding(rule="QG008", message=f"{name}: entry {entry.index} was not registered before it ran"))
        if verdict not in accepted:
            undecided += verdict == Verdict.INCONCLUSIVE.value
            found.append(Finding(rule="QG008", message=f"{name}: {verdict}, accepted: {', '.join(sorted(accepted))}"))
    outcome = judged("comparisons", found, f"{count} comparisons")
    if found and undecided == len(found):
        return Outcome(check=outcome.check, verdict=Verdict.INCONCLUSIVE, what=outcome.what, findings=found)
    return outcome


def check_canaries(ledger: Ledger, names: Iterable[str]) -> Outcome:
    """Each named flag has a canary that passed."""
    flags = {f["flag"]: f for f in status(ledger)}
    found, open_ones, count = [], 0, 0
    for name in names:
        count += 1
        flag = flags.get(name)
        if flag is None or flag["rolled_back"] is not None:
            word = "no such flag in use" if flag is None else f"rolled back in entry {flag['rolled_back']}"
            found.append(Finding(rule="QG009", message=f"{name}: {word}"))
        elif flag["verdict"] != Verdict.PASS.value:
            open_ones += flag["verdict"] != Verdict.FAIL.value
            found.append(Finding(rule="QG009", message=f"{name}: {flag['reason'] or 'not judged yet'}"))
    outcome = judged("canaries", found, f"{count} canaries passed")
    if found and open_ones == len(found):
        return Outcome(check=outcome.check, verdict=Verdict.INCONCLUSIVE, what=outcome.what, findings=found)
    return outcome


def check_incidents(ledger: Ledger) -> Outcome:
    """None is open."""
    from qimg_ops.incidents import incidents

    still = [i for i in incidents(ledger) if i.open]
    return judged(
        "incidents",
        [Finding(rule="QG010", message=f"{i.id} is open ({i.severity}): {i.title}") for i in still],
        "none is open",
    )
