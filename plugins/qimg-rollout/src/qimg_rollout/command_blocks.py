"""``qimg rollout back | block | release``: what an operator does by hand, the first two also while a run is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option, parse_settings
from qimg_core.cli.output import emit
from qimg_core.cli.runs import existing_ledger
from qimg_policy.keys import load_key
from qimg_rollout import blocks
from qimg_rollout.handing import key_option, post_to, wait_option
from qimg_rollout.state import roll_back
from qimg_rollout.stopping import propose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qimg_core.cli.app import App


@click.command()
@click.argument("flag")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@key_option
@wait_option
@ledger_option
@json_option
@click.pass_obj
def back(app: App, flag: str, reason: str, keys: Sequence[Path], wait: float, ledger: str) -> ExitCode:
    """Roll a flag back to the classical path by hand; also while another process holds the ledger."""
    signing = [load_key(path) for path in keys]
    handed = post_to(
        app,
        ledger,
        lambda log: propose(log, flags=[flag], reason=reason, by="operator"),
        keys=signing,
        wait=wait,
    )
    if handed is not None:
        lines = [f"{flag} serves the classical path", *handed.lines()]
        first = {} if not handed.entries else {"entry": handed.entries[0].index}
        emit({**first, **handed.to_json()}, lines)
        return handed.code(wait)
    with existing_ledger(app, ledger, write=True) as log:
        entry = roll_back(log, flag, reason=reason, by="operator")
        log.checkpoint()
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: {flag} serves the classical path"])
    return ExitCode.OK


@click.command()
@click.option("--match", "match", multiple=True, required=True, metavar="FACT=VALUE", help="backend, weights, ...")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@key_option
@wait_option
@ledger_option
@json_option
@click.pass_obj
def block(app: App, match: Sequence[str], reason: str, keys: Sequence[Path], wait: float, ledger: str) -> ExitCode:
    """Refuse every plan of which all these facts are true, e.g. backend=ibm:ibm_fez; also while a run is on."""
    facts, signing = parse_settings(match, "--match"), [load_key(path) for path in keys]
    handed = post_to(
        app,
        ledger,
        lambda log: propose(log, matches=[facts], reason=reason, by="operator"),
        keys=signing,
        wait=wait,
    )
    if handed is not None:
        first = {} if not handed.entries else {"entry": handed.entries[0].index}
        emit({**first, "match": facts, **handed.to_json()}, handed.lines())
        return handed.code(wait)
    with existing_ledger(app, ledger, write=True) as log:
        entry = blocks.block(log, facts, reason=reason, by="operator")
        log.checkpoint()
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: blocked: {', '.join(match)}"])
    return ExitCode.OK


@click.command()
@click.argument("entry", type=click.IntRange(0))
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@ledger_option
@json_option
@click.pass_obj
def release(app: App, entry: int, reason: str, ledger: str) -> None:
    """End a block."""
    with existing_ledger(app, ledger, write=True) as log:
        done = blocks.release(log, entry, reason=reason, by="operator")
        log.checkpoint()
    emit({"entry": done.index, **done.facts}, [f"entry {done.index}: the block of entry {entry} is released"])
