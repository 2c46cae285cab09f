"""``qimg ledger anchor``: hand the head of a ledger to its outside memories, or say what they have (imports ledger)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode, exit_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, print_error, say, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.handover import Handover
    from qimg_core.ledger.memories import Memories


@click.command()
@click.option("--status", is_flag=True, help="Only say what each memory has kept; asks and writes nothing.")
@click.option("--new", is_flag=True, help="Make the ledger where there is none, to give its keys to witnesses first.")
@ledger_option
@json_option
@click.pass_obj
def anchor(app: App, status: bool, new: bool, ledger: str) -> ExitCode:
    """Hand the signed head to the outside memories that lack it.

    They are named in ledger.toml in the ledger's folder. A run hands over its head when it ends; this catches up
    where a memory could not be reached then. Exit code 1 where one did not keep the head, or contradicts the log.
    """
    from qimg_core.ledger.memories import memories_of

    if new and status:
        raise ConfigurationError("--new and --status contradict each other")
    if new:
        return _new(app, ledger)
    with existing_ledger(app, ledger, write=not status) as found:
        memories = memories_of(found if "://" not in ledger else ledger, app.registry, demand=not status)
        if memories is None or not memories.all:
            raise ConfigurationError(
                f"no outside memories are configured for {ledger}", hint="name them in ledger.toml beside the ledger"
            )
        try:
            return _status(found, memories) if status else _hand_over(app, found, memories)
        finally:
            memories.close()


def _hand_over(app: App, found: Ledger, memories: Memories) -> ExitCode:
    from qimg_core.ledger.handover import hand_over

    done = hand_over(found, memories.all, lambda kind, facts: found.append(kind, facts=facts))
    error = done.error()
    said = {m.name: m.describe for m in memories.all}
    lines = {receipt.memory: said[receipt.memory](receipt) for receipt in done.kept}
    emit({"log": found.origin, **_document(done)}, _lines(done, lines))
    if error is None:
        return ExitCode.OK
    if not app.json:
        print_error(error, as_json=False)
    else:
        say(error.message)
    return exit_code(error)


def _document(done: Handover) -> dict[str, Any]:
    return {
        "head": None if done.head is None else {"size": done.head.size, "root": done.head.root.hex()},
        "kept": [{"memory": r.memory, "kind": r.kind, "size": r.size, "facts": dict(r.facts)} for r in done.kept],
        "failed": [{"memory": name, "error": type(e).__name__, "reason": e.message} for name, e in done.failed],
        "had it already": list(done.rest),
    }


def _lines(done: Handover, said: dict[str, str]) -> list[str]:
    if done.head is None:
        return [f"{name}: has kept all that matters already" for name in done.rest]
    lines = [f"head over {done.head.size:,} entries"]
    lines += [f"  {r.memory}: {said[r.memory]}" for r in done.kept]
    lines += [f"  {name}: has kept all that matters already" for name in done.rest]
    return lines + [f"  {name}: NOT kept: {error.message}" for name, error in done.failed]


def _status(found: Ledger, memories: Memories) -> ExitCode:
    from qimg_core.ledger.receipts import last_kept, worth_keeping

    wanted = worth_keeping(found)
    last = last_kept(found, [memory.name for memory in memories.all])
    listed = []
    for memory in memories.all:
        entry = last.get(memory.name)
        size = 0 if entry is None else int(entry.facts["size"])
        when = "" if entry is None else entry.time[:19]
        listed.append({"memory": memory.name, "kind": memory.kind, "size": size, "time": when})
    rows = [[one["memory"], one["kind"], f"{one['size']:,} of {wanted:,}", one["time"] or "never"] for one in listed]
    document = {
        "log": found.origin,
        "mode": memories.settings.mode,
        "wanted": wanted,
        "memories": listed,
        "kept": all(int(str(one["size"])) >= wanted for one in listed),
    }
    emit(document, table(["MEMORY", "KIND", "KEPT", "WHEN"], [[str(cell) for cell in row] for row in rows]))
    return ExitCode.OK if document["kept"] else ExitCode.FAILED


def _new(app: App, ledger: str) -> ExitCode:
    from qimg_core.ledger.opening import open_ledger

    with open_ledger(ledger, app.registry) as made:
        keys = [str(key) for key in made.keys]
        origin = made.origin
    emit({"log": origin, "keys": keys}, keys)
    return ExitCode.OK
