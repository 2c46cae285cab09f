"""`Store`: one budget that processes share; reserve and settle in one transaction each (imports schema, limits).

Every reservation counts in five groups: in total, its run, project, day (UTC, when it was made) and cost centre. The
table ``tally`` has the sums of each group, changed in the transaction that changes what they sum; `qimg_budget.audit`
adds them up again.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qimg_budget.amounts import COUNTED
from qimg_budget.claims import Held, Row, Wanted, bound_of, groups_of
from qimg_budget.limits import Limit, applying, check_amounts, check_units
from qimg_budget.reckoning import OPEN, RELEASED, Job, Outcome, Reckoned, ended, reckon
from qimg_budget.schema import connect, create, transaction, translated

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from qimg_budget.amounts import Amounts


class Store:
    """A budget's file, open. Safe for several threads and processes."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path, self._db, self._lock = path, db, threading.RLock()

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Store:
        """Make an empty one; raises as `qimg_budget.schema.create`."""
        create(Path(path))
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Store:
        """Open one; raises as `qimg_budget.schema.connect`."""
        return cls(Path(path), connect(Path(path)))

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- settings ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its name in ledgers, 16 hex digits."""
        return self._setting("id")

    @property
    def allow_unknown(self) -> bool:
        """May something be sent whose price is not known?"""
        return self._setting("allow_unknown") == "yes"

    def _setting(self, name: str) -> str:
        ((value,),) = self.rows("SELECT value FROM setting WHERE name=?", name)
        return str(value)

    def limits(self) -> list[Limit]:
        """All of them, in order."""
        return [Limit(*row) for row in self.rows("SELECT scope, name, dimension, hard, soft FROM bound")]

    def change(self, limits: Sequence[Limit] = (), *, allow_unknown: bool | None = None) -> None:
        """Set limits (or take them away, where both are None); what was changed when stays on record."""
        with self._lock, transaction(self._db, self.path):
            for x in limits:
                self._db.execute("DELETE FROM bound WHERE scope=? AND name=? AND dimension=?", _key(x))
                if x.hard is not None or x.soft is not None:
                    self._db.execute("INSERT INTO bound VALUES(?,?,?,?,?)", (*_key(x), x.hard, x.soft))
                self._note(f"{x.scope} {x.name} {x.dimension}: hard {x.hard}, soft {x.soft}")
            if allow_unknown is not None:
                word = "yes" if allow_unknown else "no"
                self._db.execute("UPDATE setting SET value=? WHERE name='allow_unknown'", (word,))
                self._note(f"allow_unknown {word}")

    def note(self, what: str) -> None:
        """Keep a remark with its time."""
        with self._lock, transaction(self._db, self.path):
            self._note(what)

    def _note(self, what: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._db.execute("INSERT INTO change(at, what) VALUES(?,?)", (now, what))

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Read; each call sees one committed state."""
        with self._lock, translated(self.path):
            return self._db.execute(query, values).fetchall()

    # -- reserve -----------------------------------------------------------------------------

    def reserve(self, wanted: Wanted) -> Held | None:
        """Reserve a plan's upper bound under every limit, or nothing at all.

        A reservation that an earlier process of the run left open is taken over, and raised where the bound has grown.
        Jobs that are settled already are not paid again.

        Returns:
            None where every job is settled already.

        Raises:
            BudgetExceeded, UnknownCost: nothing is reserved.
            StorageError: the file cannot be used, or stays locked.
        """
        with self._lock, transaction(self._db, self.path):
            old = self._last(wanted)
            if old is not None and old[1]:
                return self._raise(str(old[0]), wanted)
            paid = self._paid(wanted)
            jobs = tuple(job for job in wanted.jobs if job.key not in paid)
            if not jobs:
                return None
            reserved = bound_of(wanted, jobs)
            warnings = self._check(wanted, reserved)
            attempt = 0 if old is None else int(old[2]) + 1
            name = f"{wanted.run}/{wanted.ordinal}/{wanted.backend}/{attempt}"
            self._insert(name, attempt, wanted, jobs, reserved)
            return Held(id=name, reserved=reserved, jobs=jobs, warnings=warnings)

    def _last(self, w: Wanted) -> Any:
        query = (
            "SELECT id, open, attempt FROM reservation WHERE run=? AND ordinal=? AND backend=? ORDER BY attempt DESC"
        )
        return self._db.execute(query, (w.run, w.ordinal, w.backend)).fetchone()

    def _paid(self, w: Wanted) -> set[str]:
        query = """SELECT job.key FROM job JOIN reservation ON reservation.id = job.reservation
                   WHERE run=? AND ordinal=? AND backend=? AND state NOT IN (?, ?)"""
        return {key for (key,) in self._db.execute(query, (w.run, w.ordinal, w.backend, RELEASED, OPEN))}

    def _check(self, w: Wanted, needed: Amounts) -> tuple[str, ...]:
        groups = groups_of(w.run, w.project, w.day, w.cost_centre)
        limits = applying(self.limits(), groups)
        check_units(limits, needed, unknown=w.unknown, allow_unknown=self.allow_unknown)

        def taken(scope: str, dimension: str) -> tuple[int, int]:
            query = "SELECT held, spent FROM tally WHERE scope=? AND name=? AND dimension=?"
            return self._db.execute(query, (scope, groups[scope], dimension)).fetchone() or (0, 0)

        return check_amounts(limits, needed, taken, groups)

    def _raise(self, name: str, w: Wanted) -> Held:
        """Take over an open reservation, with the jobs that it had and those that the plan has now besides."""
        reserved, jobs = self._parts(name)
        had = self._paid(w) | {job.key for job in jobs}
        new_jobs = [job for job in w.jobs if job.key not in had]
        self._add_jobs(name, new_jobs, first=len(jobs))
        jobs += new_jobs
        more = {d: a - reserved.get(d, 0) for d, a in bound_of(w, jobs).items() if a > reserved.get(d, 0)}
        warnings = self._check(w, more) if more or w.unknown else ()
        new = {**reserved, **{d: reserved.get(d, 0) + a for d, a in more.items()}}
        for dimension, amount in new.items():
            self._db.execute(
                "INSERT INTO amount VALUES(?,?,?,0,0) ON CONFLICT DO UPDATE SET reserved=excluded.reserved",
                (name, dimension, amount),
            )
        self._reckon(name, new, jobs)
        open_jobs = tuple(job for job in jobs if job.state == OPEN)
        return Held(id=name, reserved=new, jobs=open_jobs, warnings=warnings, again=True)

    def _insert(self, name: str, attempt: int, w: Wanted, jobs: Sequence[Job], reserved: Amounts) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        values = (name, w.run, w.ordinal, w.backend, attempt, w.request, w.project, w.cost_centre, w.day, now, w.ledger)
        self._db.execute("INSERT INTO reservation VALUES(?,?,?,?,?,?,?,?,?,?,?,?,1)", (*values, int(w.unknown)))
        self._db.executemany("INSERT INTO amount VALUES(?,?,?,0,0)", [(name, d, a) for d, a in reserved.items()])
        self._add_jobs(name, jobs)
        self._reckon(name, reserved, jobs)

    def _add_jobs(self, name: str, jobs: Sequence[Job], first: int = 0) -> None:
        self._db.executemany(
            "INSERT INTO job VALUES(?,?,?,?,?,?,'{}')",
            [(name, job.key, i, job.weight, job.shots, OPEN) for i, job in enumerate(jobs, first)],
        )

    # -- settle ------------------------------------------------------------------------------

    def preview(
        self, name: str, outcomes: Mapping[str, Outcome], *, correct: bool = False
    ) -> tuple[Reckoned, list[str]]:
        """What `settle` would make of a reservation, and of each job's state; nothing is changed."""
        reserved, jobs = self.parts(name)
        after = ended(jobs, outcomes, correct=correct)
        return reckon(reserved, after), [job.state for job in after]

    def settle(self, name: str, outcomes: Mapping[str, Outcome], *, correct: bool = False) -> Reckoned:
        """Write down how jobs ended, in one transaction; what had ended before stays as it was.

        Args:
            name: of the reservation.
            outcomes: by key; jobs that are not named stay as they are.
            correct: change jobs that had ended, too (a bill that came later).
        """
        with self._lock, transaction(self._db, self.path):
            reserved, jobs = self._parts(name)
            after = ended(jobs, outcomes, correct=correct)
            for old, new in zip(jobs, after, strict=True):
                if new != old:
                    text = json.dumps({unit: str(amount) for unit, amount in new.billed.items()})
                    self._db.execute(
                        "UPDATE job SET state=?, billed=? WHERE reservation=? AND key=?",
                        (new.state, text, name, new.key),
                    )
            return self._reckon(name, reserved, after)

    def _parts(self, name: str) -> tuple[dict[str, int], list[Job]]:
        reserved = dict(self._db.execute("SELECT dimension, reserved FROM amount WHERE reservation=?", (name,)))
        query = "SELECT key, weight, shots, state, billed FROM job WHERE reservation=? ORDER BY number"
        jobs = [
            Job(key, weight, shots, state, {u: Decimal(a) for u, a in json.loads(billed).items()})
            for key, weight, shots, state, billed in self._db.execute(query, (name,))
        ]
        return {d: a for d, a in reserved.items() if a is not None}, jobs

    def _reckon(self, name: str, reserved: Amounts, jobs: Sequence[Job]) -> Reckoned:
        """Bring ``amount``, ``tally`` and ``open`` in line with the jobs."""
        found, row = reckon(reserved, jobs), self.row(name)
        query = "SELECT held, spent FROM amount WHERE reservation=? AND dimension=?"
        for dimension in found.spent:
            held, spent = self._db.execute(query, (name, dimension)).fetchone() or (0, 0)
            values = (name, dimension, reserved.get(dimension), found.held[dimension], found.spent[dimension])
            self._db.execute("INSERT OR REPLACE INTO amount VALUES(?,?,?,?,?)", values)
            for scope, group in row.groups.items():
                self._db.execute(
                    """INSERT INTO tally VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE
                       SET held = held + excluded.held, spent = spent + excluded.spent""",
                    (scope, group, dimension, found.held[dimension] - held, found.spent[dimension] - spent),
                )
        self._db.execute("UPDATE reservation SET open=? WHERE id=?", (int(found.open), name))
        return found

    # -- read --------------------------------------------------------------------------------

    def row(self, name: str) -> Row:
        """One reservation."""
        return next(self._rows("id=?", name))

    def reservations(self, *, only_open: bool = False, since: str = "") -> list[Row]:
        """In the order of their making, from a day (UTC) on."""
        return list(self._rows("day >= ?" + (" AND open" if only_open else ""), since))

    def _rows(self, where: str, *values: Any) -> Iterator[Row]:
        columns = "id, run, ordinal, backend, request, project, cost_centre, day, at, ledger, open"
        for r in self.rows(f"SELECT {columns} FROM reservation WHERE {where} ORDER BY at, id", *values):  # noqa: S608
            names = columns.split(", ")
            yield Row(**{**dict(zip(names, r, strict=True)), "open": bool(r[-1])})

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read in the block sees one committed state."""
        with self._lock, translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def parts(self, name: str) -> tuple[dict[str, int], list[Job]]:
        """What a reservation had reserved, and its jobs."""
        with self._lock, translated(self.path):
            return self._parts(name)

    def unit(self, name: str) -> str | None:
        """The unit that a reservation was made in; None where the price was not known, or nothing."""
        query = "SELECT dimension FROM amount WHERE reservation=? AND reserved IS NOT NULL"
        return next((d for (d,) in self.rows(query, name) if d not in COUNTED), None)

    def amounts(self, name: str) -> tuple[dict[str, int], dict[str, int]]:
        """What a reservation holds and has spent."""
        found = self.rows("SELECT dimension, held, spent FROM amount WHERE reservation=?", name)
        return {d: h for d, h, _ in found}, {d: s for d, _, s in found}

    def tally(self, scope: str) -> dict[str, dict[str, tuple[int, int]]]:
        """Name -> dimension -> (held, spent) of a scope."""
        out: dict[str, dict[str, tuple[int, int]]] = {}
        for name, dimension, held, spent in self.rows(
            "SELECT name, dimension, held, spent FROM tally WHERE scope=?", scope
        ):
            out.setdefault(name, {})[dimension] = (held, spent)
        return out


def _key(limit: Limit) -> tuple[str, str, str]:
    return limit.scope, limit.name, limit.dimension
