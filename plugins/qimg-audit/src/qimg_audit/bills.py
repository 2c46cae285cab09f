"""A provider's bill, or its list of jobs, against the jobs that a ledger knows (imports qimg_core, csv).

Amounts are decimals, never floats, and are compared exactly.
"""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, DataError, UnknownName
from qimg_core.jobs.settling import jobs_of, runs_with_jobs

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.jobs.journal import Known
    from qimg_core.ledger.base import Ledger

ID_COLUMNS = ("job_id", "id", "job", "task_arn", "quantum_task_arn", "quantumtaskarn", "task_id", "jobid")
COST_COLUMNS = ("cost", "amount", "billed", "charge", "total", "usage", "quantum_seconds", "price")
UNIT_COLUMNS = ("unit", "currency")
DATE_COLUMNS = ("date", "created", "submitted", "start", "created_at", "time")


@frozen(kw_only=True)
class Line:
    """One line of a bill. ``cost`` is None in a mere list of jobs."""

    number: int
    job: str
    cost: Decimal | None
    unit: str | None
    date: str | None


class Kind(StrEnum):
    """What does not agree."""

    UNKNOWN = "unknown to the ledger"
    NOT_BILLED = "never billed"
    COST = "cost differs"
    UNIT = "unit differs"
    NO_COST = "the ledger knows no cost"
    TWICE = "billed twice"


@frozen(kw_only=True)
class Difference:
    """One disagreement.

    Args:
        kind: what sort.
        job: the provider's id, or our key where it has none.
        run: the run, where it is known.
        ours, theirs: amounts with their unit, in words.
        undecided: cannot be judged, which is not a disagreement.
    """

    kind: Kind
    job: str
    run: str | None = None
    ours: str | None = None
    theirs: str | None = None
    undecided: bool = False

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        from attrs import asdict

        return {**asdict(self), "kind": self.kind.value}


@frozen(kw_only=True)
class Reconciliation:
    """How bill and ledger compare.

    Args:
        lines: of the bill.
        jobs: that the ledger knows in that time.
        matched: jobs that stand in both.
        agreed: of these, with the same cost, or where the bill is a mere list.
        differences: the rest.
        billed: totals of the bill by unit.
        recorded: totals of the matched jobs' recorded bills by unit.
    """

    lines: int
    jobs: int
    matched: int
    agreed: int
    differences: tuple[Difference, ...]
    billed: dict[str, Decimal]
    recorded: dict[str, Decimal]


def read_bill(path: Path, *, id_column: str | None = None, cost_column: str | None = None) -> tuple[Line, ...]:
    """Read a CSV file with a head.

    Args:
        path: UTF-8; the separator is a comma, a semicolon or a tab.
        id_column: with the provider's job id; found by its usual names where it is not given.
        cost_column: likewise; a file without one is a list of jobs.

    Raises:
        ConfigurationError: no such column.
        DataError: no CSV, a line without an id, an amount that is no number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.DictReader(text.splitlines(), delimiter=separator, strict=True)
    try:
        head = list(rows.fieldnames or ())
        ids = _column(head, id_column, ID_COLUMNS, "the job's id", needed=True)
        costs = _column(head, cost_column, COST_COLUMNS, "the cost", needed=cost_column is not None)
        units = _column(head, None, UNIT_COLUMNS, "the unit", needed=False)
        dates = _column(head, None, DATE_COLUMNS, "the date", needed=False)
        return tuple(_line(path, n, row, ids, costs, units, dates) for n, row in enumerate(rows, 2))
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file: {error}") from error


def _column(head: list[str], asked: str | None, usual: tuple[str, ...], what: str, *, needed: bool) -> str | None:
    if asked is not None:
        if asked not in head:
            raise UnknownName("column of the bill", asked, head)
        return asked
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in head}
    found = next((plain[name] for name in usual if name in plain), None)
    if found is None and needed:
        raise ConfigurationError(
            f"no column of {', '.join(head) or 'an empty file'} holds {what}", hint="name it with --id-column"
        )
    return found


def _line(
    path: Path, n: int, row: dict[str, str], ids: str | None, costs: str | None, units: str | None, dates: str | None
) -> Line:
    assert ids is not None
    job = (row[ids] or "").strip()
    if not job:
        raise DataError(f"{path}, line {n}: no job id in the column {ids}")
    cost = None
    if costs is not None and (row[costs] or "").strip():
        text = row[costs].strip().lstrip("$€").strip()
        try:
            cost = Decimal(text)
        except InvalidOperation as error:
            raise DataError(f"{path}, line {n}: {row[costs]!r} in {costs} is no amount") from error
        if not cost.is_finite():
            raise DataError(f"{path}, line {n}: {row[costs]!r} in {costs} is no amount")
    unit = (row[units] or "").strip() or None if units is not None else None
    date = (row[dates] or "").strip() or None if dates is not None else None
    return Line(number=n, job=job, cost=cost, unit=unit, date=date)


def reconcile(
    ledger: Ledger,
    bill: tuple[Line, ...],
    *,
    backend: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Reconciliation:
    """Compare a bill with the ledger's jobs.

    Args:
        ledger: open for reading at least.
        bill: see `read_bill`.
        backend: driver whose jobs the bill covers, or the part before its colon; None for all.
        since: the bill begins here, by when the provider took a job.
        until: it ends before here.
    """
    ours = {id_: (run, known) for run, known in _jobs(ledger, backend, since, until) for id_ in _ids(known)}
    counted = {known.intent.key: known for _, known in ours.values()}
    differences: list[Difference] = []
    seen: dict[str, list[Line]] = {}
    billed: dict[str, Decimal] = {}
    for line in bill:
        if line.cost is not None:
            unit = line.unit or "unit not stated"
            billed[unit] = billed.get(unit, Decimal(0)) + line.cost
        if line.job not in ours:
            differences.append(Difference(kind=Kind.UNKNOWN, job=line.job, theirs=_amount(line.cost, line.unit)))
            continue
        run, known = ours[line.job]
        mine = seen.setdefault(known.intent.key, [])
        if any(other.job == line.job for other in mine):
            theirs = _amount(line.cost, line.unit)
            differences.append(Difference(kind=Kind.TWICE, job=line.job, run=run, theirs=theirs))
        mine.append(line)
    agreed, recorded = 0, dict[str, Decimal]()
    runs = {known.intent.key: run for run, known in ours.values()}
    for key, lines in seen.items():
        difference = _compared(counted[key], runs[key], lines, recorded)
        if difference is None:
            agreed += 1
        else:
            differences.append(difference)
    for key, known in counted.items():
        if key not in seen and known.finished is not None and not _free(known):
            ours_ = _recorded(known)
            differences.append(Difference(kind=Kind.NOT_BILLED, job=_ids(known)[0], run=runs[key], ours=ours_))
    return Reconciliation(
        lines=len(bill),
        jobs=len(counted),
        matched=len(seen),
        agreed=agreed,
        differences=tuple(differences),
        billed=billed,
        recorded=recorded,
    )


def _jobs(ledger: Ledger, backend: str | None, since: dt.datetime | None, until: dt.datetime | None) -> Any:
    for run in runs_with_jobs(ledger):
        for known in jobs_of(ledger, run):
            if known.handle is None or (backend is not None and backend not in _names(known.backend)):
                continue
            at = dt.datetime.fromisoformat(known.handle.submitted_at)
            at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
            if (since is None or at >= since) and (until is None or at < until):
                yield run, known


def _names(backend: str) -> tuple[str, str]:
    return backend, backend.partition(":")[0]


def _ids(known: Known) -> tuple[str, ...]:
    assert known.handle is not None
    return known.handle.provider_ids


def _bill(known: Known) -> dict[str, Any] | None:
    return None if known.finished is None else known.finished.get("billed")


def _free(known: Known) -> bool:
    bill = _bill(known)
    return bill is not None and bill["high"] is not None and Decimal(bill["high"]) == 0


def _recorded(known: Known) -> str | None:
    bill = _bill(known)
    if bill is None or bill["high"] is None or bill["low"] is None:
        return None
    exact = Decimal(bill["low"]) == Decimal(bill["high"])
    return f"{bill['high']} {bill['unit']}" if exact else f"{bill['low']} to {bill['high']} {bill['unit']}"


def _amount(cost: Decimal | None, unit: str | None) -> str | None:
    return None if cost is None else f"{cost} {unit or ''}".strip()


def _compared(known: Known, run: str, lines: list[Line], recorded: dict[str, Decimal]) -> Difference | None:
    costs = [line.cost for line in lines if line.cost is not None]
    if not costs:
        return None  # a list of jobs says nothing of money
    theirs, unit = sum(costs, Decimal(0)), lines[0].unit
    bill, ours = _bill(known), _recorded(known)
    job, said = lines[0].job, _amount(theirs, unit)
    if bill is None or ours is None:
        return Difference(kind=Kind.NO_COST, job=job, run=run, theirs=said, undecided=True)
    low, high = Decimal(bill["low"]), Decimal(bill["high"])
    if unit is not None and unit.lower() != bill["unit"].lower():
        return Difference(kind=Kind.UNIT, job=job, run=run, ours=ours, theirs=said, undecided=True)
    recorded[bill["unit"]] = recorded.get(bill["unit"], Decimal(0)) + high
    if not low <= theirs <= high:
        return Difference(kind=Kind.COST, job=job, run=run, ours=ours, theirs=said)
    return None
