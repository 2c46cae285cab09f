"""``qimg policy``: the group, and the commands that look at policies without a ledger (imports bundle, cases, lint)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.admission_words import Approval, Obligation
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, parse_settings
from qimg_core.cli.output import emit, table
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.storage import write_atomic
from qimg_policy import command_approve, command_ledger, command_sign
from qimg_policy.bundle import SCHEMA, find_bundle, read_bundle, shipped, shipped_bundle, write_bundle
from qimg_policy.cases import BASES, read_cases, run_case, unasked
from qimg_policy.command_text import ruling_document, ruling_lines
from qimg_policy.gate import engine_of
from qimg_policy.kernel import decide
from qimg_policy.lint import lint as lint_bundle
from qimg_policy.mutation import mutate as mutants_of
from qimg_policy.schema import TYPES, schema_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_policy.bundle import Bundle


@click.group()
def policy() -> None:
    """Write, test, sign and pin policies; approve; decide again from the record.

    A BUNDLE is a folder, or the name of a shipped one (`qimg policy list`).
    """


@policy.command(name="list")
@json_option
def list_bundles() -> None:
    """The bundles that come with qimg: three profiles and a cookbook."""
    rows: list[dict[str, Any]] = []
    for name in shipped():
        bundle = shipped_bundle(name)
        rows.append(
            {
                "name": name,
                "summary": _summary(bundle),
                "engine": bundle.settings.engine.kind,
                "rules": len(bundle.rules),  # of Cedar
                "digest": bundle.digest,
            }
        )
    shown = [[r["name"], r["engine"], str(r["rules"] or "-"), r["summary"]] for r in rows]
    emit({"bundles": rows}, table(["NAME", "ENGINE", "RULES", "WHAT"], shown))


def _summary(bundle: Bundle) -> str:
    first = bundle.files["policy.toml"].splitlines()[0]
    return first.removeprefix("#").strip()


@policy.command()
@json_option
def words() -> None:
    """Every fact that a policy decides by, and its words."""
    found: dict[str, list[str] | str] = {}
    for name, kind in TYPES.items():
        members = getattr(kind, "__members__", None)
        found[name] = [str(m) for m in members.values()] if members else "number" if "int" in str(kind) else "text"
    found["approvals"] = list(Approval)
    found["provider_approved"] = "true or false"
    found["waived"] = "control ids"
    found["obligations"] = list(Obligation)
    lines = [f"{name:18} {', '.join(v) if isinstance(v, list) else v}" for name, v in found.items()]
    emit({"words": found}, lines)


@policy.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--profile", default="solo", show_default=True, metavar="NAME", help="The shipped bundle to begin with.")
@json_option
def init(folder: Path, profile: str) -> None:
    """Begin a bundle: policy.toml, *.cedar, the schema and tests in a new folder."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise ConfigurationError(f"{folder} is not empty", hint="name a new folder")
    bundle = shipped_bundle(profile)
    write_bundle(bundle, folder)
    files = sorted(bundle.files)
    emit(
        {"folder": str(folder), "profile": profile, "files": files, "digest": bundle.digest},
        [f"{folder}: {', '.join(files)}", f"  next: qimg policy test {folder}; qimg policy use {folder} --ledger runs"],
    )


@policy.command()
@click.argument("bundle", default="solo")
@click.option("--write-schema", is_flag=True, help="Write schema.cedarschema again, after a change of policy.toml.")
@json_option
def lint(bundle: str, write_schema: bool) -> int:
    """Say what is wrong or doubtful in a bundle; exit code 1 where something is wrong."""
    found = find_bundle(bundle)
    if write_schema:
        if found.settings.engine.kind != "cedar":
            raise ConfigurationError(f"{bundle} asks a policy server: it has no Cedar schema", hint="qimg policy lint")
        if bundle in shipped() and not Path(bundle).is_dir():
            raise ConfigurationError(
                f"{bundle} is a shipped bundle", hint="qimg policy init FOLDER --profile " + bundle
            )
        write_atomic(Path(bundle) / SCHEMA, schema_text(found.settings).encode())
        found = read_bundle(Path(bundle))
    remarks = lint_bundle(found)
    wrong = [r for r in remarks if r.level == "error"]
    lines = [f"{r.level}: {r.where}: {r.what}" for r in remarks]
    lines.append(f"{bundle}: {len(wrong)} errors, {len(remarks) - len(wrong)} warnings")
    document = [{"level": r.level, "where": r.where, "what": r.what} for r in remarks]
    emit({"bundle": bundle, "digest": found.digest, "remarks": document}, lines)
    return ExitCode.FAILED if wrong else ExitCode.OK


@policy.command()
@click.argument("bundle", default="solo")
@click.option("--mutate", is_flag=True, help="Weaken the rules one by one, too: a test has to notice each.")
@json_option
def test(bundle: str, mutate: bool) -> int:
    """Run a bundle's table of cases; exit code 1: one fails or a mutant survives; 3: the server cannot be asked."""
    found = find_bundle(bundle)
    engine = engine_of(found)
    outcomes = [run_case(engine, found, case) for case in read_cases(found)]
    if down := unasked(outcomes):
        emit(
            {"bundle": bundle, "verdict": "inconclusive", "reason": str(down)},
            [f"inconclusive: {down}", f"  {down.satisfy}"],
        )
        return ExitCode.INCONCLUSIVE
    failed = [o for o in outcomes if o.problem]
    lines = [f"FAIL {o.case.file}: {o.case.name}: {o.problem}" for o in failed]
    lines.append(f"{bundle}: {len(outcomes) - len(failed)} of {len(outcomes)} cases pass")
    document: dict[str, Any] = {
        "bundle": bundle,
        "digest": found.digest,
        "cases": len(outcomes),
        "failed": [{"file": o.case.file, "case": o.case.name, "problem": o.problem} for o in failed],
    }
    survived = []
    if mutate and not failed:
        mutants = mutants_of(found)
        survived = [m.what for m in mutants if m.killed_by is None]
        lines += [f"SURVIVED {what}" for what in survived]
        lines.append(f"{bundle}: {len(mutants) - len(survived)} of {len(mutants)} mutants noticed")
        document |= {"mutants": len(mutants), "survived": survived}
    emit(document, lines)
    return ExitCode.FAILED if failed or survived or not outcomes else ExitCode.OK


@policy.command()
@click.argument("bundle", default="solo")
@click.option("--on", type=click.Choice(sorted(BASES)), default="local", show_default=True, help="Which plan.")
@click.option("--set", "changes", multiple=True, metavar="FACT=WORD", help="A fact of it; see `qimg policy words`.")
@json_option
def ask(bundle: str, on: str, changes: Sequence[str]) -> int:
    """Decide a made-up plan, and say why; exit code 4 where it would be refused."""
    found = find_bundle(bundle)
    facts = dict(BASES[on])
    for name, text in parse_settings(changes).items():
        if name not in facts:
            raise UnknownName("fact", name, facts, hint="qimg policy words")
        facts[name] = _value(text)
    ruling = decide(engine_of(found), found.settings, facts)
    emit({"bundle": found.digest, **ruling_document(ruling)}, ruling_lines(ruling))
    return ExitCode.OK if ruling.allowed else ExitCode.REFUSED


def _value(text: str) -> Any:
    """Numbers, true, false, null and lists as JSON; the rest as a word."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if not isinstance(value, (str, float, dict)) else text


@policy.command()
@click.argument("old")
@click.argument("new")
@json_option
def diff(old: str, new: str) -> int:
    """What differs between two bundles: rules, settings, and cases that come out otherwise. Exit code 1: something."""
    a, b = find_bundle(old), find_bundle(new)
    before, after = {r.id: r for r in a.rules}, {r.id: r for r in b.rules}
    lines = [f"- rule {i}" for i in before if i not in after] + [f"+ rule {i}" for i in after if i not in before]
    lines += [f"~ rule {i}" for i in before if i in after and before[i] != after[i]]
    names = [f.name for f in type(a.settings).__attrs_attrs__]
    lines += [
        f"~ {n}: {getattr(a.settings, n)} -> {getattr(b.settings, n)}"
        for n in names
        if getattr(a.settings, n) != getattr(b.settings, n)
    ]
    one, other = engine_of(a), engine_of(b)
    for case in {(c.file, c.name): c for c in (*read_cases(a), *read_cases(b))}.values():
        was, now = run_case(one, a, case), run_case(other, b, case)
        if down := unasked((was, now)):
            emit(
                {"old": a.digest, "new": b.digest, "reason": str(down)}, [f"inconclusive: {down}", f"  {down.satisfy}"]
            )
            return ExitCode.INCONCLUSIVE
        if was.ruling.verdict != now.ruling.verdict:
            lines.append(f"! {case.name}: {was.ruling.verdict} -> {now.ruling.verdict}")
    emit({"old": a.digest, "new": b.digest, "differences": lines}, lines or ["no difference"])
    return ExitCode.FAILED if lines or a.digest != b.digest else ExitCode.OK


for _command in (*command_sign.COMMANDS, *command_ledger.COMMANDS, *command_approve.COMMANDS):
    policy.add_command(_command)
