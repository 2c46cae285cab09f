"""Power loss between any two operations of the ledger: nothing acknowledged is lost, nothing is torn, the log goes on.

What a program does to its folder is recorded, then the disk is put back together as it may be after a crash at each
place (see `qimg_core.testing.disk`), and the ledger is opened there, verified and continued.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from qimg_core.errors import QimgError
from qimg_core.ledger import Draft, SQLiteLedger, rotation, verify_folder
from qimg_core.ledger.base import Problem
from qimg_core.ledger.entry import DIGEST
from qimg_core.ledger.publishing import publish
from qimg_core.ledger.tile_log import verify_published
from qimg_core.testing.disk import Acknowledged, Disk, Names, Sync, SyncFolder, crashes
from qimg_core.testing.recording import Recorder
from qimg_core.testing.recording_sqlite import recorded_sqlite

pytest.importorskip("apsw", reason="the recorder of SQLite's writes needs apsw")


@pytest.fixture
def scratch(tmp_path):
    """A folder in memory where the system has one: recovery syncs too, thousands of times."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def record(scratch, program, *, killed=(), **settings):
    """Run a program on a new disk, or after another that was killed; gives the operations of both."""
    root = scratch / "recorded"
    root.mkdir()
    if killed:
        disk = Disk()
        for operation in killed:
            disk.do(operation)
        disk.crash("all", random.Random(0)).write(root)
    recorder = Recorder(root, killed)
    with recorder.recording(), recorded_sqlite(recorder, **{"pages": 12, **settings}) as connect:
        program(root, connect, recorder.acknowledge)
    differences = recorder.differences()
    assert differences == []
    shutil.rmtree(root)
    return recorder.operations


# Programs. Each says what it was told is durable: ("entry", index, body), ("head", note), ("artefact", digest), ...


def one_thread(root, connect, ack):
    rng = random.Random(1)
    for session in range(2):
        with SQLiteLedger.open(root / "log", connect=connect) as ledger:
            for step in range(7):
                digest = ledger.put(rng.randbytes(rng.choice([10, 700, 6000])))
                ack(("artefact", digest))
                facts = {
                    "session": session,
                    "step": step,
                    "artefacts": {"a": digest},
                    "text": "x" * rng.randint(0, 900),
                }
                done(ack, ledger.extend([Draft("step", run="r", facts=facts)] * rng.randint(1, 4)))
                if step % 3 == 0:
                    ack(("head", ledger.checkpoint()))
                if step % 3 == 1:
                    sealed(ack, ledger.seal([Draft("sealed", facts=facts, key=f"{session}-{step}")]))


def many_threads(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:

        def work(number):
            for step in range(4):
                facts = {"thread": number, "step": step}
                if number == 0:
                    digest = ledger.put(f"{number}, {step}".encode() * 50)
                    ack(("artefact", digest))
                    facts["artefacts"] = {"a": digest}
                sealed(ack, ledger.seal([Draft("step", run=f"r{number}", facts=facts)]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def new_keys(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        first = ledger.keys[0].id.hex()
        for number in range(2):
            done(ack, [ledger.append("step", facts={"n": number})])
            entry, note = rotation.rotate(ledger, root / "log", "planned")
            done(ack, [entry])
            ack(("head", note))
            ack(("keys", number + 2))
        _, note = rotation.revoke(ledger, root / "log", first, 1, "lost")
        ack(("head", note))


def publishing(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for size in (3, 200, 300):
            done(ack, ledger.extend([Draft("step", facts={"k": k}) for k in range(size - len(ledger))]))
            ack(("head", ledger.checkpoint()))
            publish(ledger, root / "tiles")
            ack(("published", size))


def everything(root, connect, ack):
    """A little of all; the same artefacts each time."""
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for number in range(2):
            digest = ledger.put(f"artefact {number}".encode() * 100)
            ack(("artefact", digest))
            sealed(ack, ledger.seal([Draft("step", facts={"artefacts": {"a": digest}}, key=f"step {number}")]))
        publish(ledger, root / "tiles")
        ack(("published", len(ledger)))
        rotation.rotate(ledger, root / "log", "planned")
        ack(("keys", len(ledger.history.periods)))


PROGRAMS = [one_thread, many_threads, new_keys, publishing]


def done(ack, entries):
    for entry in entries:
        ack(("entry", entry.index, entry.body))


def sealed(ack, written):
    done(ack, written.entries)
    ack(("head", written.note))


# After a crash


def lost(root, acknowledged):
    """What of the acknowledged is not there, or does not hold; empty if all is well. The log is continued."""
    try:
        with SQLiteLedger.open(root / "log") as ledger:
            bodies = {entry.index: entry.body for entry in ledger.entries()}
            heads = set(ledger.checkpoints())
            gone = [what for what in acknowledged if not there(what, ledger, bodies, heads, root)]
            problems = list(ledger.verify().problems)
            if gone or problems:
                return [*gone, *problems]
            ledger.put(b"after the crash")
            ledger.seal([Draft("resumed", facts={})])
            if (root / "tiles").exists():
                if (root / "tiles" / "checkpoint").exists():
                    problems += verify_published(root / "tiles").problems
                publish(ledger, root / "tiles")
                problems += verify_published(root / "tiles").problems
        return [*problems, *verify_folder(root / "log").problems]
    except QimgError as error:
        return [Problem("open", error.message)]


def there(what, ledger, bodies, heads, root):
    kind, *rest = what
    if kind == "entry":
        return bodies.get(rest[0]) == rest[1]
    if kind == "head":
        return rest[0] in heads
    if kind == "keys":
        return len(ledger.history.periods) >= rest[0]
    if kind == "published":
        path = root / "tiles" / "checkpoint"
        return path.exists() and int(path.read_bytes().split(b"\n")[1]) >= rest[0]
    return DIGEST.fullmatch(rest[0]) and ledger.has(rest[0]) and ledger.get(rest[0]) is not None


class Count:
    """Of crashes, of disks that differ, and what was wrong."""

    def __init__(self):
        self.points = self.disks = 0
        self.wrong = []

    def look(self, scratch, operations, seed, **how):
        seen = set()
        for crash in crashes(operations, seed, **how):
            self.points += 1
            state = hashlib.sha256(repr((sorted(crash.image.files.items()), crash.image.folders)).encode())
            key = (state.digest(), len(crash.acknowledged))
            if key in seen:
                continue  # the very same disk, and nobody was told more
            seen.add(key)
            self.disks += 1
            root = scratch / "after"
            root.mkdir()
            crash.image.write(root)
            found = lost(root, crash.acknowledged)
            shutil.rmtree(root)
            if found:
                self.wrong.append((crash.at, crash.keep, found))
        return self


@pytest.mark.parametrize("program", PROGRAMS)
def test_power_loss_at_some_places(scratch, program):
    operations = record(scratch, program)
    count = Count().look(scratch, operations, 1, some=1, every=len(operations) // 41)
    assert count.wrong == []
    assert count.points >= 120


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_power_loss_at_every_place(scratch, program):
    operations = record(scratch, program)
    count = Count().look(scratch, operations, 2, some=4)
    print(f"{program.__name__}: {len(operations)} operations, {count.points} crashes, {count.disks} different disks")
    assert count.wrong == []
    assert count.points >= 6 * len(operations)


def killed_then_powerless(scratch, every):
    """A process is killed, the next goes on with what lies there, then the power goes."""
    first = record(scratch, everything)
    count = Count()
    kills = [at for at, operation in enumerate(first, 1) if isinstance(operation, Names)]  # not yet synced
    for at in kills[::every]:
        operations = record(scratch, everything, killed=first[:at])
        told = [n for n, operation in enumerate(operations) if n > at and isinstance(operation, Acknowledged)]
        for place in told:
            count.look(scratch, operations[: place + 1], at, some=1, every=len(operations), start=place + 1)
    return count


def test_killed_then_power_loss_at_some_places(scratch):
    count = killed_then_powerless(scratch, 12)
    assert count.wrong == []
    assert count.points > 50


@pytest.mark.slow
def test_killed_then_power_loss_at_every_place(scratch):
    count = killed_then_powerless(scratch, 1)
    print(f"killed, then power loss: {count.points} crashes, {count.disks} different disks")
    assert count.wrong == []


# What would go wrong if the ledger did less: the simulator finds it


def few(root, connect, ack):
    with SQLiteLedger.open(root / "log", connect=connect) as ledger:
        for number in range(6):
            sealed(ack, ledger.seal([Draft("step", facts={"n": number})]))


def test_without_faults_a_small_program_loses_nothing(scratch):
    assert Count().look(scratch, record(scratch, few), 5, some=1, every=19).wrong == []


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_database_that_syncs_less_loses_entries(scratch, synchronous):
    operations = record(scratch, few, synchronous=synchronous)
    count = Count().look(scratch, operations, 5, some=1, every=19)
    assert count.wrong  # and the head outside the database shows it: the log refuses to go on
    assert {what.where for _, _, found in count.wrong for what in found if isinstance(what, Problem)} == {"open"}


@pytest.mark.parametrize("folder", ["", "log", "log/keys"])
def test_a_folder_that_is_not_synced_loses_the_log(scratch, folder):
    operations = [one for one in record(scratch, few) if one != SyncFolder(folder)]
    count = Count().look(scratch, operations, 5, some=2, every=23)
    assert count.wrong


def test_a_file_that_is_not_synced_is_found(scratch):
    """Take one sync of a file away, whichever: of keys, database, log and head some matter."""
    operations = record(scratch, few)
    syncs = [at for at, one in enumerate(operations) if isinstance(one, Sync)]
    rng, found = random.Random(6), 0
    for at in rng.sample(syncs, 6):
        less = operations[:at] + operations[at + 1 :]
        found += bool(Count().look(scratch, less, 7, some=1, every=len(less)).wrong)
        found += bool(Count().look(scratch, less[: at + 12], 7, some=3, every=len(less), start=at + 3).wrong)
    assert found
