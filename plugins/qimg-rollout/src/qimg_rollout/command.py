"""``qimg rollout``: flags, cohorts, canaries, blocks (imports qimg_core's command-line parts)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.budget import Budget
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option, parse_amount, parse_classes
from qimg_core.cli.output import coloured, emit, fields, table
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.ledger.opening import open_ledger
from qimg_core.storage import storage_error, write_atomic
from qimg_core.verdict import Verdict
from qimg_policy.keys import load_key, load_public
from qimg_rollout import blocks
from qimg_rollout.baseline import pinned
from qimg_rollout.canary import Analysis, CanaryPlan
from qimg_rollout.command_blocks import back, block, release
from qimg_rollout.flags import make_cohort_key, read_cohort_key, read_flags, sign_flags
from qimg_rollout.serving import judge as judge_canary
from qimg_rollout.serving import serve as serve_flag
from qimg_rollout.serving import status as flag_status
from qimg_rollout.state import start_canary, use_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)


@click.group()
def rollout() -> None:
    """Signed flags, opt-in cohorts, canaries that roll back, blocked routes."""


@rollout.command()
@click.argument("file", type=_PATH)
@json_option
def key(file: Path) -> None:
    """Make the secret that sorts subjects into cohorts."""
    make_cohort_key(file)
    emit({"file": str(file)}, [f"{file} (keep it secret, and keep it: another one sorts anew)"])


@rollout.command()
@click.argument("file", type=_PATH)
@click.option("--key", "keys", type=_PATH, multiple=True, required=True, metavar="NAME.key.pem", help="Repeatable.")
@click.option("--out", type=_PATH, metavar="FILE", help="The envelope; FILE.dsse.json by default.")
@json_option
def sign(file: Path, keys: Sequence[Path], out: Path | None) -> None:
    """Check a flag file and sign it (keys: qimg policy key)."""
    flags = read_flags(file)
    signing = [load_key(path) for path in keys]
    target = out or file.with_suffix(".dsse.json")
    write_atomic(target, sign_flags(flags, signing))
    names = ", ".join(k.name for k in signing)
    emit(
        {"file": str(target), **flags.to_json(), "digest": flags.digest},
        [f"{target}: version {flags.version}, {len(flags.flags)} flags, signed by {names}"],
    )


@rollout.command()
@click.argument("file", type=_PATH)
@click.option("--trust", type=_PATH, multiple=True, metavar="NAME.pub", help="Who may sign; repeatable, first time.")
@ledger_option
@json_option
@click.pass_obj
def use(app: App, file: Path, trust: Sequence[Path], ledger: str) -> None:
    """Put a signed flag file to use."""
    keys = [load_public(path) for path in trust]
    try:
        envelope = file.read_bytes()
    except OSError as error:
        raise storage_error(error, "read", file) from error
    with open_ledger(ledger, app.registry) as log:
        entry = use_flags(log, envelope, keys)
        log.checkpoint()
    states = ", ".join(f"{n} {s}" for n, s in entry.facts["states"].items())
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: version {entry.facts['version']}: {states}"])


@rollout.command()
@ledger_option
@json_option
@click.pass_obj
def status(app: App, ledger: str) -> None:
    """Say how every flag stands, and what is blocked."""
    with existing_ledger(app, ledger) as log:
        flags, held = flag_status(log), blocks.in_force(log)
    lines = [] if flags else ["no flags in use"]
    for f in flags:
        word = f["state"] if f["rolled_back"] is None else f"rolled back in entry {f['rolled_back']}"
        word = word if f["stopped"] is None else f"rolled back by the stop {f['stopped'][:12]}, not on record yet"
        lines.append(f"{f['flag']}: {word}")
        if f["canary"] is not None:
            lines += fields([("canary", f"entry {f['canary']}"), ("verdict", f["verdict"] or "none yet")])
            lines += fields([("because", f["reason"] or "")])
    lines += [f"blocked by entry {b.entry}: {b.words} ({b.by}): {b.reason}" for b in held]
    rows = [{"entry": b.entry, "match": dict(b.match), "by": b.by, "reason": b.reason} for b in held]
    emit({"flags": flags, "blocks": rows}, lines)


@rollout.command()
@click.argument("flag")
@click.option("--baseline", required=True, metavar="NAME", help="Of qimg drift pin.")
@click.option("--alpha", default=0.01, show_default=True, type=float, help="Chance of a false rollback.")
@click.option("--looks", default="64,128,256", show_default=True, metavar="N,N,...", help="Images at each look.")
@click.option("--tolerance", default=1.0, show_default=True, help="Shift (standard deviations) that must be seen.")
@click.option("--failing", default=0.02, show_default=True, help="Share of failed runs that is tolerated.")
@click.option("--seed", type=int, help="Of permutations; drawn and recorded otherwise.")
@ledger_option
@json_option
@click.pass_obj
def start(
    app: App,
    flag: str,
    baseline: str,
    alpha: float,
    looks: str,
    tolerance: float,
    failing: float,
    seed: int | None,
    ledger: str,
) -> None:
    """Write down how a canary will be judged, before its first image."""
    try:
        sizes = tuple(int(n) for n in looks.split(","))
    except ValueError as error:
        raise ConfigurationError(f"--looks takes rising numbers such as 64,128,256, got {looks!r}") from error
    plan = CanaryPlan(
        alpha=alpha,
        looks=sizes,
        tolerance=tolerance,
        failing=failing,
        seed=secrets.randbits(62) if seed is None else seed,
    )
    with existing_ledger(app, ledger, write=True) as log:
        base = pinned(log, baseline)
        if base.sets.images is None:
            raise ConfigurationError(f"the baseline {baseline} holds no images", hint="qimg drift pin NAME --entry N")
        entry = start_canary(log, flag, plan, baseline=base.entry)
        log.checkpoint()
    words = f"looks at {looks} images, false rollback at most {alpha:g}, against {baseline} of entry {base.entry}"
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: canary of {flag}: {words}"])


@rollout.command()
@click.argument("flag")
@click.option("--n", default=16, show_default=True, type=click.IntRange(1), help="How many images.")
@click.option("--subject", default="", metavar="TEXT", help="Who asks; it is not recorded.")
@click.option("--cohort", "cohorts", multiple=True, metavar="NAME", help="What the subject opted in to; repeatable.")
@click.option("--key", "key_file", type=_PATH, envvar="QIMG_COHORT_KEY", help="Of qimg rollout key.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@click.option("--seed", type=int, help="Root of every seed of the run.")
@click.option("--max-cost", metavar="AMOUNT", help="Refuse to spend more, in the provider's unit.")
@click.option("--out", default="images.png", show_default=True, metavar="FILE.png", help="The picture of all of them.")
@ledger_option
@json_option
@click.pass_obj
def serve(
    app: App,
    flag: str,
    n: int,
    subject: str,
    cohorts: Sequence[str],
    key_file: Path | None,
    condition: str | None,
    seed: int | None,
    max_cost: str | None,
    out: str,
    ledger: str,
) -> None:
    """Make images by the path that the flag gives a subject; judge the canary, and roll it back where it fails."""
    check_file(Path(out), ".png")
    secret = None if key_file is None else read_cohort_key(key_file)
    with existing_ledger(app, ledger, write=True) as log:
        done = serve_flag(
            log,
            app.registry,
            flag,
            n=n,
            subject=subject,
            cohorts=cohorts,
            key=secret,
            seed=seed,
            condition=parse_classes(condition),
            budget=Budget(max_cost=parse_amount(max_cost)),
        )
        log.checkpoint()
    done.images.save(out)
    document: dict[str, Any] = {
        "file": out,
        "run": done.images.run,
        "entry": done.images.entry,
        "variant": done.served.variant,
        "reason": done.served.reason,
        "quantum": done.images.quantum,
        "canary": None if done.analysis is None else done.analysis.to_json(),
    }
    path = "quantum path" if done.served.variant == "on" else "classical path"
    lines = [f"{out}: {n} images, {path} ({done.served.reason}), run {done.images.run}, entry {done.images.entry}"]
    emit(document, [*lines, *([] if done.analysis is None else _lines(done.analysis))])


@rollout.command()
@click.argument("flag")
@ledger_option
@json_option
@click.pass_obj
def judge(app: App, flag: str, ledger: str) -> ExitCode:
    """Judge a canary now; exit code 1 where it fails (and is rolled back), 3 where too little was seen."""
    with existing_ledger(app, ledger, write=True) as log:
        analysis = judge_canary(log, flag, again=True)
        log.checkpoint()
    assert analysis is not None
    emit(analysis.to_json(), _lines(analysis))
    return verdict_code(analysis.verdict)


def _lines(analysis: Analysis) -> list[str]:
    rows = [
        [
            str(look.n),
            f.what,
            "-" if f.p is None else f"{f.p:.3g}",
            "-" if f.adjusted is None else f"{f.adjusted:.3g}",
            f"{look.level:.3g}",
            "" if f.detectable is None else f"{f.detectable:.2g} {f.unit}",
        ]
        for look in analysis.looks
        for f in look.drift.findings
    ]
    head = f"canary: {coloured(analysis.verdict)}: {analysis.reason}"
    rolled = ["  rolled back: the classical path is served"] if analysis.verdict is Verdict.FAIL else []
    shown = table(["IMAGES", "WHAT", "P", "ADJUSTED", "LEVEL", "WOULD BE SEEN"], rows) if rows else []
    return [head, *rolled, f"  {analysis.failed} of {analysis.runs} runs failed", *shown]


for command in (back, block, release):
    rollout.add_command(command)
