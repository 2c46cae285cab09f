"""``qimg incident``: open, note, snapshot, contain, affected, close, report, list (imports incidents)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, table
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.storage import write_atomic
from qimg_ops import incidents as store
from qimg_ops.containing import affected as list_affected
from qimg_ops.containing import contain as contain_routes
from qimg_ops.containing import finish, stop
from qimg_ops.post_mortem import draft
from qimg_policy.keys import load_key
from qimg_rollout.handing import key_option, no_wait_option, post_to, wait_option
from qimg_rollout.stopping import discard as discard_stop
from qimg_rollout.stopping import missing
from qimg_rollout.stops import pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)


@click.group()
def incident() -> None:
    """Freeze evidence, disable routes (also while a run is on), list what is affected, close, report."""


@incident.command("open")
@click.option("--title", required=True, metavar="TEXT", help="In a few words, without names of people.")
@click.option("--severity", type=click.Choice([s.value for s in store.Severity]), default="medium", show_default=True)
@click.option("--entry", "entries", type=click.IntRange(0), multiple=True, help="What showed it; repeatable.")
@key_option
@no_wait_option
@ledger_option
@json_option
@click.pass_obj
def open_(
    app: App, title: str, severity: str, entries: Sequence[int], keys: Sequence[Path], wait: float, ledger: str
) -> ExitCode:
    """Begin an incident; prints its id, which `contain` takes at once; also while a run is on.

    Where another process holds the ledger, the opening waits beside it, and that process puts it on record.
    """
    signing, kind = [load_key(path) for path in keys], store.Severity(severity)
    handed = post_to(
        app,
        ledger,
        lambda log: store.opening(log, title=title, severity=kind, trigger=entries),
        keys=signing,
        wait=wait,
        write=finish,
    )
    if handed is None:
        with existing_ledger(app, ledger, write=True) as log:
            name = store.open_incident(log, title=title, severity=kind, trigger=entries).id
            log.checkpoint()
    else:
        opens = handed.posted.stop.opens
        assert opens is not None
        name = opens.incident
    with existing_ledger(app, ledger) as log:
        found = store.find(log, name)
    free = handed is None or not handed.holder
    lines = [f"{name}: {title}", *([] if handed is None else handed.lines()[1:])]
    lines.append(
        f"  next: qimg incident {f'snapshot {name} --out {name}.zip' if free else f'contain {name} --backend NAME'}"
    )
    emit({**({} if handed is None else handed.to_json()), **found.to_json()}, lines)
    return ExitCode.OK if handed is None else handed.code(wait)


@incident.command()
@click.argument("name", metavar="ID")
@click.argument("text")
@ledger_option
@json_option
@click.pass_obj
def note(app: App, name: str, text: str, ledger: str) -> None:
    """Add a line to the timeline."""
    with existing_ledger(app, ledger, write=True) as log:
        entry = store.note(log, name, text)
        finish(log)
    emit({"entry": entry.index}, [f"entry {entry.index}"])


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--out", type=_PATH, required=True, metavar="FILE.zip", help="The bundle to make.")
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Only this one; repeatable. All by default.")
@ledger_option
@json_option
@click.pass_obj
def snapshot(app: App, name: str, out: Path, runs: Sequence[str], ledger: str) -> None:
    """Freeze the evidence: a checked bundle, its digest and a signed head on record."""
    with existing_ledger(app, ledger, write=True) as log:
        finish(log)
        entry = store.snapshot(log, name, out, runs=runs or None)
    f = entry.facts
    emit({"file": str(out), "entry": entry.index, **f}, [f"{out}: {f['entries']} entries, {f['bundle']}"])


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="A device, or a driver for all of its.")
@click.option("--weights", multiple=True, metavar="DIGEST", help="Of weights that shall not be used.")
@key_option
@wait_option
@ledger_option
@json_option
@click.pass_obj
def contain(
    app: App,
    name: str,
    backends: Sequence[str],
    weights: Sequence[str],
    keys: Sequence[Path],
    wait: float,
    ledger: str,
) -> ExitCode:
    """Disable routes, roll back flags that lead there, and list what they touched; also while a run is on.

    Where another process holds the ledger, it obeys from its next request on and puts the stop on record. Exit code 3
    where that was not seen within --wait seconds: the stop is written all the same.
    """
    signing = [load_key(path) for path in keys]
    handed = post_to(
        app,
        ledger,
        lambda log: stop(log, name, backends=backends, weights=weights),
        keys=signing,
        wait=wait,
        write=finish,
    )
    if handed is None:
        with existing_ledger(app, ledger, write=True) as log:
            contain_routes(log, name, backends=backends, weights=weights)
            log.checkpoint()
    with existing_ledger(app, ledger) as log:
        found = store.find(log, name)
    head = [] if handed is None else handed.lines()
    document = {} if handed is None else handed.to_json()
    told = handed is None or (bool(handed.entries) and not handed.holder)
    if told:
        entry, touched = found.of(store.CONTAINED)[-1], found.of(store.AFFECTED)[-1].facts
        document |= {"entry": entry.index, **entry.facts, "affected": touched}
        head += [f"blocked by entry {', '.join(map(str, entry.facts['blocks']))}: {', '.join((*backends, *weights))}"]
        head += [f"  flag rolled back: {flag}" for flag in entry.facts["rolled_back"]]
        head.append(f"  affected: {touched['n_runs']} runs, {touched['n_images_entries']} batches of images")
        head += [f"  {run}" for run in touched["runs"]]
    else:
        head.append(
            "  what it touched is listed by the next `qimg incident` command that writes: note, snapshot, close"
        )
    emit(document, head)
    return ExitCode.OK if handed is None else handed.code(wait)


@incident.command()
@click.option(
    "--discard", metavar="FILE", help="Put one aside that is damaged or gone; its bytes and the reason go on record."
)
@click.option("--reason", default="", metavar="TEXT", help="Why it is put aside.")
@ledger_option
@json_option
@click.pass_obj
def stops(app: App, discard: str | None, reason: str, ledger: str) -> ExitCode:
    """Stops that are not on record yet; exit code 1 where one is damaged, or was taken away."""
    if discard is not None:
        with existing_ledger(app, ledger, write=True) as log:
            entry = discard_stop(log, discard, reason=reason)
        emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: {discard} is put aside"])
        return ExitCode.OK
    with existing_ledger(app, ledger) as log:
        found, gone = pending(log), missing(log)
    lines = [
        f"waits: {p.digest[:12]} of {p.stop.by}, {p.stop.at}: {p.stop.words}: {p.stop.reason}" for p in found.stops
    ]
    lines += [f"damaged: {path.name}: {why}" for path, why in found.damaged]
    lines += [f"gone: {digest} was written and is neither here nor on record" for digest in gone]
    document = {
        "waiting": [{"stop": p.digest, "signed_by": list(p.signed_by), **p.stop.to_json()} for p in found.stops],
        "damaged": [{"file": path.name, "found": why} for path, why in found.damaged],
        "gone": list(gone),
    }
    emit(document, lines or ["every stop is on record"])
    return ExitCode.FAILED if found.damaged or gone else ExitCode.OK


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--from", "starts", multiple=True, required=True, metavar="THING", help="As of qimg trace; repeatable.")
@ledger_option
@json_option
@click.pass_obj
def affected(app: App, name: str, starts: Sequence[str], ledger: str) -> None:
    """List the runs and images that came of something."""
    with existing_ledger(app, ledger, write=True) as log:
        finish(log)
        entry = list_affected(log, name, starts)
    f = entry.facts
    emit({"entry": entry.index, **f}, [f"{f['n_runs']} runs, {f['n_images_entries']} batches of images", *f["runs"]])


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--cause", required=True, metavar="TEXT", help="Why it happened.")
@click.option("--change", "changes", multiple=True, required=True, metavar="TEXT", help="What is done; repeatable.")
@click.option("--release", is_flag=True, help="End its blocks as well.")
@ledger_option
@json_option
@click.pass_obj
def close(app: App, name: str, cause: str, changes: Sequence[str], release: bool, ledger: str) -> None:
    """End an incident; its evidence has to be frozen."""
    with existing_ledger(app, ledger, write=True) as log:
        finish(log)
        entry, free = store.close(log, name, cause=cause, changes=changes, release=release)
        log.checkpoint()
        found = store.find(log, name)
    seconds = found.seconds(store.CLOSED)
    lines = [f"{name}: closed after {seconds} s", *(f"  released: entry {b}" for b in free)]
    emit({"entry": entry.index, **found.to_json()}, lines)


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--out", type=_PATH, metavar="FILE.md", help="Write it; printed otherwise.")
@ledger_option
@json_option
@click.pass_obj
def report(app: App, name: str, out: Path | None, ledger: str) -> None:
    """Draft a post-mortem: five questions, and what the record answers."""
    if out is not None:
        check_file(out, ".md")
    with existing_ledger(app, ledger) as log:
        found = store.find(log, name)
    text = draft(found)
    if out is not None:
        write_atomic(out, text.encode())
    document = {**found.to_json(), "file": None if out is None else str(out), "markdown": text}
    emit(document, [text] if out is None else [f"{out}: a draft; what it leaves open is for people to write"])


@incident.command("list")
@ledger_option
@json_option
@click.pass_obj
def list_(app: App, ledger: str) -> None:
    """All incidents, also those whose opening waits to be on record, and the mean time to restore."""
    with existing_ledger(app, ledger) as log:
        found = store.incidents(log)
    mean = store.mean_time_to_restore(found)
    rows = [[i.id, i.severity, i.state, i.opened[:19], i.title] for i in found]
    lines = table(["INCIDENT", "SEVERITY", "STATE", "OPENED", "TITLE"], rows) if rows else ["no incidents"]
    if mean is not None:
        lines.append(f"mean time to restore: {mean} s over {sum(not i.open for i in found)} closed")
    emit({"incidents": [i.to_json() for i in found], "mean_seconds_to_restore": mean}, lines)
