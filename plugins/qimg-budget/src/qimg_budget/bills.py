"""A provider's bill beside what the ledgers say of the same jobs (imports outcomes, store).

A bill is a CSV file with a head; its columns ``job`` (the provider's id of the job, or our key), ``amount`` and
``unit`` are read, others are left alone. Several lines of one job are added, in one unit.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_budget.amounts import exact
from qimg_budget.outcomes import outcome_of_known
from qimg_budget.reckoning import BILLED, OPEN, Outcome
from qimg_core.errors import ConfigurationError
from qimg_core.jobs.settling import jobs_of, runs_with_jobs
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qimg_budget.store import Store
    from qimg_core.jobs.journal import Known
    from qimg_core.ledger.base import Ledger

EQUAL, DIFFERS, STRANGE, UNBILLED, NEWS = "equal", "differs", "not ours", "not billed", "was not known"
COLUMNS = ("job", "amount", "unit")


@frozen(kw_only=True)
class Compared:
    """One job. ``ours`` and ``theirs``: exact amounts by unit; ``verdict``: one of the five words of this module."""

    job: str
    run: str
    backend: str
    ours: Mapping[str, Decimal]
    theirs: Mapping[str, Decimal]
    verdict: str

    @property
    def agrees(self) -> bool:
        """Nothing that somebody has to look at."""
        return self.verdict in (EQUAL, NEWS)


def read_bill(path: Path) -> dict[str, dict[str, Decimal]]:
    """Job -> unit -> amount.

    Raises:
        ConfigurationError: a column is missing, or an amount is no number; names the line.
        StorageError: the file cannot be read.
    """
    found: dict[str, dict[str, Decimal]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError(f"{path}: no column {', '.join(missing)}; wanted {', '.join(COLUMNS)}")
            for row in reader:
                job, unit = (row["job"] or "").strip(), (row["unit"] or "").strip()
                try:
                    amount = exact((row["amount"] or "").strip())
                except ConfigurationError as error:
                    raise ConfigurationError(f"{path}, line {reader.line_num}: {error.message}") from error
                if not job or not unit:
                    raise ConfigurationError(f"{path}, line {reader.line_num}: no job or no unit")
                units = found.setdefault(job, {})
                units[unit] = units.get(unit, Decimal(0)) + amount
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not a text in UTF-8") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    return found


def compare(bill: Mapping[str, Mapping[str, Decimal]], ledgers: Sequence[Ledger]) -> list[Compared]:
    """Every job of the bill and of the ledgers, side by side; nothing is changed."""
    found, left = [], dict(bill)
    for ledger in ledgers:
        for run in runs_with_jobs(ledger):
            for known in jobs_of(ledger, run):
                theirs, ours = _theirs(known, left), _ours(known)
                if theirs or ours:
                    found.append(_compared(known, ours, theirs))
    found += [
        Compared(job=job, run="", backend="", ours={}, theirs=theirs, verdict=STRANGE) for job, theirs in left.items()
    ]
    return found


def _theirs(known: Known, left: dict[str, Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """Lines of the bill that name this job, taken out of ``left``."""
    names = [known.intent.key, *(() if known.handle is None else known.handle.provider_ids)]
    out: dict[str, Decimal] = {}
    for name in dict.fromkeys(names):
        for unit, amount in left.pop(name, {}).items():
            out[unit] = out.get(unit, Decimal(0)) + amount
    return out


def _ours(known: Known) -> dict[str, Decimal]:
    bill = None if known.finished is None else known.finished["billed"]
    if bill is None or bill["high"] is None:
        return {}
    return {str(bill["unit"]): exact(bill["high"])}


def _compared(known: Known, ours: dict[str, Decimal], theirs: dict[str, Decimal]) -> Compared:
    if not theirs:
        verdict = UNBILLED if any(ours.values()) else EQUAL
    elif not ours:
        verdict = NEWS
    else:
        verdict = EQUAL if theirs == ours else DIFFERS
    return Compared(
        job=known.intent.key,
        run=known.intent.run,
        backend=known.backend,
        ours=ours,
        theirs=theirs,
        verdict=verdict,
    )


def corrections(store: Store, ledger: Ledger, compared: Sequence[Compared]) -> dict[str, dict[str, Outcome]]:
    """What the bill changes: reservation -> key -> outcome, for settled jobs of this ledger whose amount it names.

    A job without a known end is left to `qimg_budget.settling`, as the same bill may still grow.
    """
    wanted = {(c.job, c.backend): c for c in compared if c.theirs and c.verdict in (DIFFERS, NEWS)}
    runs = {c.run for c in wanted.values()}
    changes: dict[str, dict[str, Outcome]] = {}
    ends = {
        (k.intent.key, k.backend): outcome_of_known(k, None)
        for run in runs_with_jobs(ledger)
        if run in runs
        for k in jobs_of(ledger, run)
    }
    for row in store.reservations():
        if row.run not in runs:
            continue
        for job in store.parts(row.id)[1]:
            found = wanted.get((job.key, row.backend))
            end = ends.get((job.key, row.backend))
            if found is None or end is None or job.state == OPEN:
                continue
            measured = {u: a for u, a in end.billed.items() if u not in found.ours}
            changes.setdefault(row.id, {})[job.key] = Outcome(BILLED, {**measured, **found.theirs})
    return changes
