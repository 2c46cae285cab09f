"""Handing a stop to whoever holds the ledger, and seeing it recorded (imports stops, stopping, the command line)."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import LedgerBusy, QimgError
from qimg_rollout import blocks
from qimg_rollout.stopping import DISCARDED, record, recorded
from qimg_rollout.stops import Posted, folder_of, post, put_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.decorators import FC

    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_policy.keys import SigningKey
    from qimg_rollout.stops import Stop

log = logging.getLogger("qimg")

PAUSE = 0.1
"""Seconds between two looks."""


def _waiting(seconds: float) -> Callable[[FC], FC]:
    return click.option(
        "--wait",
        type=click.FloatRange(0, 86_400),
        default=seconds,
        show_default=True,
        metavar="SECONDS",
        help="How long to watch until it is on record, where another process holds the ledger; 0: not at all.",
    )


wait_option, no_wait_option = _waiting(10.0), _waiting(0.0)
key_option = click.option(
    "--key", "keys", type=click.Path(path_type=Path), multiple=True, metavar="NAME.key.pem", help="Sign it; repeatable."
)


@frozen(kw_only=True)
class Handed:
    """What became of a stop.

    Args:
        posted: its file, which is durable.
        entries: those it became; empty where it is not on record yet.
        holder: the process that holds the ledger; empty where it was free.
        again: how often its file was gone without an entry, and was written again.
        unseen: backends that it names and no plan of the record did: to be stopped in advance, or misspelt.
    """

    posted: Posted
    entries: tuple[Entry, ...]
    holder: str = ""
    again: int = 0
    unseen: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "stop": self.posted.digest,
            "file": str(self.posted.path),
            "signed_by": list(self.posted.signed_by),
            "recorded": bool(self.entries),
            "entries": [e.index for e in self.entries],
            "holder": self.holder,
            "put_back": self.again,
            "unseen": list(self.unseen),
        }

    def lines(self) -> list[str]:
        """For people."""
        stops = self.posted.stop.stops
        found = [f"{'stopped' if stops else 'written'}: {self.posted.stop.words} (stop {self.posted.digest[:12]})"]
        if self.entries:
            found.append(f"  on record: entry {', '.join(str(e.index) for e in self.entries)}")
        else:
            if self.holder:
                does = "refuses this from its next request on" if stops else "puts this on record at its next request"
                found.append(f"  process {self.holder} holds the ledger; it {does}")
            found.append(f"  not on record yet; {self.posted.path} waits: qimg incident stops")
        found += [f"  no plan of this record named {name} until now: is that its name?" for name in self.unseen]
        if self.again:
            found.append(f"  its file was gone before it was on record, and was written again ({self.again} times)")
        return found

    def code(self, wait: float) -> ExitCode:
        """Not seen on record although it was watched for: inconclusive."""
        return ExitCode.OK if self.entries or not wait else ExitCode.INCONCLUSIVE


def post_to(
    app: App,
    where: str,
    propose: Callable[[Ledger], Stop],
    *,
    keys: Sequence[SigningKey] = (),
    wait: float,
    write: Callable[[Ledger], object] = record,
) -> Handed | None:
    """Post a stop durably, then record it or see it recorded.

    Args:
        app: the program.
        where: the ledger.
        propose: makes the stop, reading the ledger.
        keys: who signs.
        wait: seconds to watch.
        write: what is done where the ledger is free.

    Returns:
        None for a ledger that many may write: there an entry is as quick.

    Raises:
        QimgError: nothing was stopped, where it is raised before the file is there.
    """
    with existing_ledger(app, where) as ledger:
        folder = folder_of(ledger)
        if folder is None:
            return None
        posted = post(folder, propose(ledger), keys)
        unseen = blocks.unseen(ledger, posted.stop.matches)
    try:
        handed = _watch(app, where, posted, wait, write)
    except QimgError:
        log.warning("the stop %s is written all the same, and waits: qimg incident stops", posted.digest[:12])
        raise
    return evolve(handed, unseen=unseen)


def _watch(app: App, where: str, posted: Posted, wait: float, write: Callable[[Ledger], object]) -> Handed:
    """Record a stop where the ledger is free, or see it recorded; its file is written again where it goes away."""
    end, again = monotonic() + wait, 0
    while True:
        holder = ""
        try:
            with existing_ledger(app, where, write=True) as ledger:
                write(ledger)
        except LedgerBusy as busy:
            holder = str(busy.facts.get("holder", "unknown"))
        there = posted.path.exists()  # looked at first: its entries are durable before it goes
        with existing_ledger(app, where) as ledger:
            of_stop = recorded(ledger).get(posted.digest, ())
        entries = tuple(e for e in of_stop if e.kind != DISCARDED)
        if not entries and not there:
            log.warning("%s was gone before it was on record; it is written again", posted.path)
            put_back(posted)
            again += 1
        if entries or monotonic() >= end:
            return Handed(posted=posted, entries=entries, holder=holder, again=again)
        sleep(PAUSE)
