"""The measurements (imports record, qimg_core.ledger). Each gives a `Figure`; none asserts anything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.ledger.record import record
from qimg_core.ledger import Draft, SQLiteLedger
from qimg_core.ledger.proof import LogProof, make_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@frozen(kw_only=True)
class Figure:
    """One line of the table.

    Args:
        what: what was done, and what a unit is.
        count: how many.
        wall, cpu: seconds, of the clock and of this process.
        p50, p99: seconds a call; None where calls were not timed one by one.
        note: what a reader should know.
    """

    what: str
    count: int
    wall: float
    cpu: float
    p50: float | None = None
    p99: float | None = None
    note: str = ""


def timed(what: str, calls: Iterable[Callable[[], object]], *, units: int = 1, note: str = "") -> Figure:
    """Time calls one after the other; each does ``units`` units."""
    each: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    for call in calls:
        begun = time.perf_counter()
        call()
        each.append(time.perf_counter() - begun)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return figure(what, len(each) * units, wall, cpu, each, note)


def figure(what: str, count: int, wall: float, cpu: float, each: list[float], note: str = "") -> Figure:
    """A figure from the times of all calls."""
    each = sorted(each)
    return Figure(
        what=what, count=count, wall=wall, cpu=cpu, p50=each[len(each) // 2], p99=each[int(len(each) * 0.99)], note=note
    )


def drafts(start: int, count: int) -> list[Draft]:
    """Drafts of different records."""
    return [Draft("run.record", run=f"r{n // 100}", facts=record(n)) for n in range(start, start + count)]


def single(place: Path, count: int) -> Figure:
    """One caller, each entry durable and under a head of its own."""
    with SQLiteLedger.open(place) as ledger:
        ready = [[draft] for draft in drafts(0, count)]
        return timed("ledger, 1 caller, sealed one by one", (partial(ledger.seal, d) for d in ready))


def together(place: Path, callers: int, count: int) -> Figure:
    """Many threads, each sealing one entry after the other; the records are made before the clock starts."""
    share = count // callers
    each: list[float] = []
    with SQLiteLedger.open(place) as ledger:
        ready = [[[draft] for draft in drafts(k * share, share)] for k in range(callers)]
        barrier = threading.Barrier(callers + 1)

        def call(mine: list[list[Draft]]) -> None:
            barrier.wait()
            for one in mine:
                begun = time.perf_counter()
                ledger.seal(one)
                each.append(time.perf_counter() - begun)

        threads = [threading.Thread(target=call, args=(mine,)) for mine in ready]
        for thread in threads:
            thread.start()
        barrier.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.join()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        heads = len(ledger.checkpoints())
    note = f"{heads} signed heads"
    return figure(f"ledger, {callers} callers, sealed one by one", len(each), wall, cpu, each, note)


def batched(place: Path, size: int, count: int) -> Figure:
    """One caller that seals many entries at once."""
    with SQLiteLedger.open(place) as ledger:
        ready = [drafts(start, size) for start in range(0, count, size)]
        what = f"ledger, 1 caller, {size:,} entries a seal"
        return timed(what, (partial(ledger.seal, d) for d in ready), units=size)


def verified(place: Path, *, strict: bool) -> Figure:
    """The whole log, entries, heads and database, in a process of its own, so that its memory is known."""
    words = [sys.executable, "-m", "benchmarks.ledger.verifying", str(place), *(["--strict"] if strict else [])]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    what = f"verify{', strict' if strict else ''} ({told['verdict']})"
    note = f"{told['memory_mb']} MB, {told['heads']:,} heads"
    return Figure(what=what, count=told["entries"], wall=told["wall"], cpu=told["cpu"], note=note)


def proofs(place: Path, count: int = 1000) -> Figure:
    """One proof file, read and checked with both signatures, again and again."""
    with SQLiteLedger.open(place, read_only=True) as ledger:
        proof, history = make_proof(ledger, len(ledger) // 2, ledger.checkpoints()[-1]), ledger.history
        body = ledger.entry(len(ledger) // 2).body
    data = proof.dumps()
    note = f"{len(data):,} bytes, {len(proof.hashes)} hashes"
    return timed("check a tlog-proof", [lambda: LogProof.parse(data).check(history, body)] * count, note=note)


def clean(place: Path) -> Path:
    """An empty place."""
    shutil.rmtree(place, ignore_errors=True)
    return place
