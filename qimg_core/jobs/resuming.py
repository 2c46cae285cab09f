"""Going on with a run that was interrupted (imports journal, ledger).

A resumed run keeps its id and its root seed, so every request has the key that it had before: finished
jobs are read from the ledger, open ones are found again, and only what was never sent is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.jobs.journal import Journal
from qimg_core.ledger.base import Ledger
from qimg_core.ledger.opening import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.plugins import Registry


@frozen
class Resumed:
    """What an interrupted run left behind.

    Args:
        seed: its root seed.
        journal: its jobs.
        finished: whether it had ended by itself.
    """

    seed: int
    journal: Journal
    finished: bool


def resumed(
    given: Ledger | str | Path | None, run: str, registry: Registry, *, seed: int | None, backend: str
) -> tuple[Resumed, Ledger]:
    """Read what a run left; returns it with its ledger, open for writing.

    Raises:
        ConfigurationError: no such run in the ledger, no ledger at all, or another seed or device than it had.
        LedgerBusy: another process still writes: perhaps the run is not over.
    """
    if given is None:
        raise ConfigurationError("a run is resumed from its ledger; a log in memory is gone with its process")
    ledger = given if isinstance(given, Ledger) else open_ledger(given, registry, create=False)
    try:
        return _read(ledger, run, seed, backend), ledger
    except BaseException:
        if ledger is not given:
            ledger.close()
        raise


def _read(ledger: Ledger, run: str, seed: int | None, backend: str) -> Resumed:
    started = next(iter(ledger.entries(run=run, kind="run.started")), None)
    if started is None:
        runs = [e.run for e in ledger.entries(kind="run.started") if e.run]
        last = f"; its last runs: {', '.join(runs[-3:])}" if runs else ""
        raise ConfigurationError(f"no run {run!r} in this ledger{last}", hint="qimg jobs list")
    facts = started.facts
    if seed is not None and str(seed) != facts["seed"]:
        raise ConfigurationError(f"run {run} has seed {facts['seed']}; leave --seed out, or give the same")
    if backend != facts["backend"]:
        raise ConfigurationError(
            f"run {run} asked for {facts['backend']}, this asks for {backend}", hint=f"--backend {facts['backend']}"
        )
    finished = any(e.facts.get("status") == "ok" for e in ledger.entries(run=run, kind="run.finished"))
    return Resumed(int(facts["seed"]), Journal.of(ledger, run), finished)
