"""``qimg ledger``: read a ledger, sign its head (imports ledger)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.commands.anchor import anchor
from qimg_core.cli.evidence import match_picture, prove
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.subject import find_run, subject
from qimg_core.errors import ConfigurationError
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.log import StoredLedger


@click.group()
def ledger() -> None:
    """Read a ledger, sign its head."""


@ledger.command()
@click.argument("index", type=click.IntRange(0))
@click.option("--artefact", metavar="NAME", help="Print the bytes of one of its artefacts instead.")
@ledger_option
@json_option
@click.pass_obj
def show(app: App, index: int, artefact: str | None, ledger: str) -> None:
    """One entry as it stands in the log, and the proof that it does."""
    with existing_ledger(app, ledger) as log:
        entry = log.entry(index)
        if artefact is not None:
            from qimg_core.errors import UnknownName

            if artefact not in entry.artefacts:
                raise UnknownName(f"artefact of entry {index}", artefact, entry.artefacts)
            click.echo(log.get(entry.artefacts[artefact]), nl=False)
            return
        proof = prove(log, entry)
    body = json.loads(entry.body)
    signed = f"{' and '.join(proof.algorithms)}, verified" if proof.algorithms else "no"
    pairs = [("digest", entry.digest), ("leaf", entry.leaf.hex()), ("signed", signed), ("proof", proof.reason)]
    text = json.dumps(body, indent=2, ensure_ascii=False)
    document = {"entry": body, "digest": entry.digest, "leaf": entry.leaf.hex(), "proof": proof.to_json()}
    emit(document, [f"entry {index}, run {entry.run}", *fields(pairs), text])


@ledger.command()
@click.option("--run", metavar="RUN", help="The entries of one run.")
@click.option("--kind", metavar="KIND", help="The entries of one kind, e.g. images.made.")
@click.option("--entries", "every", is_flag=True, help="Every entry, not a line a run.")
@ledger_option
@json_option
@click.pass_obj
def log(app: App, run: str | None, kind: str | None, every: bool, ledger: str) -> None:
    """The runs of a ledger, or its entries."""
    with existing_ledger(app, ledger) as found:
        if every or run or kind:
            chosen = None if run is None else find_run(found, run, ledger)
            entries = [
                {"index": e.index, "time": e.time, "kind": e.kind, "run": e.run}
                for e in found.entries(run=chosen, kind=kind)
            ]
            rows = [[str(e["index"]), str(e["time"])[:19], str(e["kind"]), str(e["run"] or "")] for e in entries]
            emit({"log": found.origin, "entries": entries}, table(["ENTRY", "TIME", "KIND", "RUN"], rows))
            return
        runs = _runs(found)
        rows = [
            [str(r["run"]), str(r["time"])[:19], str(r["activity"]), str(r["made"]), str(r["status"])] for r in runs
        ]
        emit({"log": found.origin, "runs": runs}, table(["RUN", "TIME", "ACTIVITY", "MADE", "STATUS"], rows))


def _runs(found: Ledger) -> list[dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {}
    for entry in found.entries():
        if entry.run is None:
            continue
        row = runs.setdefault(
            entry.run,
            {"run": entry.run, "time": entry.time, "activity": "", "made": "", "status": "did not end", "entries": 0},
        )
        row["entries"] += 1
        facts = entry.facts
        if entry.kind == "run.started":
            row["activity"] = facts["activity"]
        elif entry.kind == "images.made":
            row["made"] = f"{facts['n']} images, {facts['generator']}"
        elif entry.kind == "weights.saved":
            row["made"] = f"{facts['file']}, {facts['generator']}"
        elif entry.kind == "training.stopped":
            row["made"] = f"stopped at step {facts['steps']} of {facts['of']}"
        elif entry.kind == "run.finished":
            row["status"] = facts["status"]
    return list(runs.values())


@ledger.command()
@ledger_option
@json_option
@click.pass_obj
def checkpoint(app: App, ledger: str) -> None:
    """Sign the head of a log and print the signed note; keep it elsewhere, and a rewritten log shows."""
    with existing_ledger(app, ledger, write=True) as found:
        note = found.checkpoint().decode()
        size = len(found)
        keys = [str(key) for key in found.keys]
        origin = found.origin
    emit({"log": origin, "size": size, "note": note, "keys": keys}, [note.rstrip()])


@ledger.command()
@click.argument("folder", metavar="DIR")
@click.option("--hashes-only", is_flag=True, help="Leave the entries' bodies out: readers see hashes only.")
@ledger_option
@json_option
@click.pass_obj
def publish(app: App, folder: str, hashes_only: bool, ledger: str) -> None:
    """Write the signed log as static files (C2SP tlog-tiles) into DIR, for any web server.

    The newest signed head and what it covers are written; call it again to add what is new. Without
    --hashes-only the files show every entry. Readers check them with: qimg verify DIR, or its address.
    """
    from qimg_core.ledger.publishing import publish as write

    with existing_ledger(app, ledger) as found:
        done = write(stored(found, ledger), folder, hashes_only=hashes_only)
    shown = "bodies and hashes" if done.bodies else "hashes only"
    lines = [f"published {done.size:,} entries of {done.origin} in {folder} ({shown}; {done.files:,} new files)"]
    if done.bodies:
        lines.append(
            "  every entry can be read there; to show hashes only, publish into a new folder with --hashes-only"
        )
    document = {
        "log": done.origin,
        "size": done.size,
        "before": done.before,
        "files": done.files,
        "bodies": done.bodies,
    }
    emit({**document, "folder": folder}, lines)


@ledger.command("prove")
@click.argument("what", metavar="INDEX|RUN|FILE.png|WEIGHTS")
@click.option("--out", required=True, metavar="FILE", help="The proof to write, NAME.tlog-proof.")
@click.option("--entry", "entry_file", metavar="FILE", help="Write the entry's exact bytes too.")
@ledger_option
@json_option
@click.pass_obj
def prove_command(app: App, what: str, out: str, entry_file: str | None, ledger: str) -> None:
    """Write a proof (C2SP tlog-proof) that an entry is in the signed log; it is checked without the ledger.

    Of a run it is the entry of its images or weights, or else its last; of a file the one that made or saved it.
    Check it with the log's public keys: qimg verify NAME.tlog-proof --vkeys log.vkeys [--entry FILE].
    """
    from qimg_core.ledger.proof import SUFFIX, make_proof
    from qimg_core.storage import write_atomic

    for name, suffix in ((out, SUFFIX), (entry_file, None)):
        if name is not None and (Path(name).is_dir() or (suffix and Path(name).suffix != suffix)):
            raise ConfigurationError(f"{name!r} is a folder, or does not end in {suffix}", hint="e.g. run.tlog-proof")
    with existing_ledger(app, ledger) as log:
        entry = _of(log, what, ledger)
        data = make_proof(log, entry.index).dumps()
        origin = log.origin
    write_atomic(out, data)
    if entry_file is not None:
        write_atomic(entry_file, entry.body)
    document = {"log": origin, "index": entry.index, "kind": entry.kind, "run": entry.run, "leaf": entry.leaf.hex()}
    lines = [f"{out}: entry {entry.index} ({entry.kind}, run {entry.run}) of {origin}, {len(data):,} bytes"]
    emit({**document, "out": out, "entry_file": entry_file, "bytes": len(data)}, lines)


def _of(log: Ledger, what: str, where: str) -> Entry:
    """The entry of an index; of a run the one of its images or weights, or else its last."""
    if what.isdecimal():
        return log.entry(int(what))
    if Path(what).is_file():
        return _of_file(log, what, where)
    entries = list(log.entries(run=find_run(log, what, where)))
    return next((e for e in entries if e.kind in ("images.made", "weights.saved")), entries[-1])


def _of_file(log: Ledger, what: str, where: str) -> Entry:
    """The entry that made a picture or saved weights."""
    if subject(what).kind == "weights":
        from qimg_core.weights import load_weights

        digest = load_weights(Path(what)).digest
        found = next((e for e in log.entries(kind="weights.saved") if e.facts["digest"] == digest), None)
        if found is None:
            raise ConfigurationError(f"no entry of {where} saved {what}", hint=f"qimg inspect {what} --ledger {where}")
        return found
    from qimg_core.images import read_images

    match = match_picture(log, *read_images(Path(what)))
    if match.entry is None or match.verdict is not Verdict.PASS:
        raise ConfigurationError(f"{what}: {match.reason}", hint=f"qimg inspect {what} --ledger {where}")
    return match.entry


def stored(found: Ledger, where: str) -> StoredLedger:
    """A ledger whose rows can be read as they are stored.

    Raises:
        ConfigurationError: it is of a plugin's own kind.
    """
    from qimg_core.ledger.log import StoredLedger

    if not isinstance(found, StoredLedger):
        raise ConfigurationError(f"the ledger {where} gives no stored rows", hint="qimg export makes a bundle of it")
    return found


ledger.add_command(anchor)
