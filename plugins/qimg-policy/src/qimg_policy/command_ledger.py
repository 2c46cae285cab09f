"""``qimg policy explain | replay | check | decisions``: what a ledger says of its decisions."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.subject import find_run
from qimg_core.verdict import Verdict
from qimg_policy.command_text import outcome_lines
from qimg_policy.obligations import from_record
from qimg_policy.replaying import KIND as DECIDED
from qimg_policy.replaying import decision_entry
from qimg_policy.replaying import replay as decide_again

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.argument("entry", type=click.IntRange(0))
@ledger_option
@json_option
@click.pass_obj
def explain(app: App, entry: int, ledger: str) -> None:
    """Say what was decided in an entry, by which rules, and what would have satisfied them."""
    with existing_ledger(app, ledger) as log:
        found = decision_entry(log, entry)
        document = json.loads(log.get(found.artefacts["input"]))
    facts = found.facts
    head = (
        f"entry {found.index}, {found.time[:19]}, {facts['backend']}, by {facts['policy']} ({facts['engine_version']})"
    )
    emit({"entry": found.index, **facts, "document": document}, [head, *outcome_lines(facts)])


@click.command()
@click.argument("entry", type=click.IntRange(0))
@ledger_option
@json_option
@click.pass_obj
def replay(app: App, entry: int, ledger: str) -> int:
    """Decide an entry again from the ledger alone; exit code 1 where it comes out otherwise, 3 where it cannot be."""
    with existing_ledger(app, ledger) as log:
        found = decision_entry(log, entry)
        result = decide_again(log, found)
    lines = [f"{coloured(result.verdict)}: entry {found.index}, {result.recorded['verdict']}: {result.reason}"]
    document = {
        "entry": found.index,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "recorded": result.recorded,
    }
    emit(document, lines)
    return verdict_code(result.verdict)


@click.command()
@click.argument("run")
@ledger_option
@json_option
@click.pass_obj
def check(app: App, run: str, ledger: str) -> int:
    """Does a run's record show that it met what its admission obliged it to?"""
    with existing_ledger(app, ledger) as log:
        name = find_run(log, run, ledger)
        owed = from_record(log, name)
    verdicts = {o.verdict for o in owed}
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    verdict = next((v for v in order if v in verdicts), Verdict.NOT_APPLICABLE)
    lines = [f"run {name}: {coloured(verdict)}", *(f"  {o.obligation}: {o.verdict.value}, {o.reason}" for o in owed)]
    rows = [{"obligation": o.obligation, "verdict": o.verdict.value, "reason": o.reason} for o in owed]
    emit({"run": name, "verdict": verdict.value, "obligations": rows}, lines)
    return verdict_code(verdict)


@click.command()
@ledger_option
@json_option
@click.pass_obj
def decisions(app: App, ledger: str) -> None:
    """Count a ledger's decisions: verdicts, reasons, and how long they took."""
    verdicts: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    times: list[int] = []
    with existing_ledger(app, ledger) as log:
        for entry in log.entries(kind=DECIDED):
            facts = entry.facts
            verdicts[facts["verdict"]] += 1
            reasons.update(f"{f['code']} {f['rule']}".strip() for f in facts["findings"])
            times.append(facts["latency_us"])
    times.sort()
    at = {q: times[min(len(times) - 1, len(times) * q // 100)] for q in (50, 99)} if times else {}
    lines = [f"{sum(verdicts.values())} decisions: " + ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))]
    lines += [f"  {n:6}  {reason}" for reason, n in reasons.most_common()]
    lines += [f"  p{q}  {us} us" for q, us in at.items()]
    document = {
        "decisions": dict(verdicts),
        "reasons": dict(reasons),
        "latency_us": {f"p{q}": us for q, us in at.items()},
    }
    emit(document, lines)


COMMANDS = (explain, replay, check, decisions)
