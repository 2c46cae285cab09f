"""Power loss between any two operations of the ledger: nothing acknowledged is lost, nothing is torn, the log goes on.

What a program does to its folder is recorded, then the disk is put back together as it may be after a crash at each
place (see `qimg_core.testing.disk`), and the ledger is opened there, verified and continued.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from qimg_core.errors import LedgerError, QimgError
from qimg_core.ledger import Draft, SQLiteLedger, sealing, verify_folder
from qimg_core.ledger.base import Problem
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.entry import DIGEST
from qimg_core.ledger.publishing import publish
from qimg_core.ledger.tile_log import verify_published
from qimg_core.testing.disk import Acknowledged, Disk, Names, Sync, SyncFolder, crashes
from qimg_core.testing.recording import Recorder
from qimg_core.testing.recording_sqlite import recorded_sqlite

pytest.importorskip("apsw", reason="the recorder of SQLite's writes needs apsw")


def _programs():
    spec = spec_from_file_location("qimg_test_power_loss_programs", Path(__file__).with_name("power_loss_programs.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


programs = _programs()


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
    if kind == "sealed":
        return sealing.unseal(ledger, rest[0]) == rest[1]
    if kind == "forgotten":
        with pytest.raises(LedgerError, match="was forgotten"):
            sealing.unseal(ledger, rest[0])
        return True
    if kind == "bundle":
        return check(root / rest[0]).ok
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


@pytest.mark.parametrize("program", programs.PROGRAMS)
def test_power_loss_at_some_places(scratch, program):
    operations = record(scratch, program)
    count = Count().look(scratch, operations, 1, some=1, every=len(operations) // 22)
    assert count.wrong == []
    assert count.points >= 66


@pytest.mark.slow
@pytest.mark.parametrize("program", programs.PROGRAMS)
def test_power_loss_at_every_place(scratch, program):
    operations = record(scratch, program)
    count = Count().look(scratch, operations, 2, some=4)
    print(f"{program.__name__}: {len(operations)} operations, {count.points} crashes, {count.disks} different disks")
    assert count.wrong == []
    assert count.points >= 6 * len(operations)


def killed_then_powerless(scratch, *, thorough):
    """A process is killed, the next goes on with what lies there, then the power goes."""
    first = record(scratch, programs.everything)
    count, seen = Count(), set()
    for at, operation in enumerate(first, 1):
        if not isinstance(operation, Names):
            continue  # killed when a name was changed and not yet synced
        name = re.sub("[0-9a-f]{8,}|[0-9]+", "#", str([(path, number is None) for path, number in operation.changes]))
        if not thorough and (name in seen or name.endswith(".tmp', False)]")):
            continue
        seen.add(name)
        operations = record(scratch, programs.everything, killed=first[:at])
        told = [n for n, operation in enumerate(operations) if n > at and isinstance(operation, Acknowledged)]
        for place in told if thorough else told[-1:]:
            count.look(scratch, operations[: place + 1], at, some=1, every=len(operations), start=place + 1)
    return count


def test_killed_then_power_loss_at_some_places(scratch):
    count = killed_then_powerless(scratch, thorough=False)
    assert count.wrong == []
    assert count.points > 50


@pytest.mark.slow
def test_killed_then_power_loss_at_every_place(scratch):
    count = killed_then_powerless(scratch, thorough=True)
    print(f"killed, then power loss: {count.points} crashes, {count.disks} different disks")
    assert count.wrong == []


def place_of(operations, name):
    """Where a file of that name first gets it."""
    return next(
        n for n, one in enumerate(operations) if isinstance(one, Names) and any(name in c[0] for c in one.changes)
    )


def test_power_loss_while_the_database_is_made(scratch):
    operations = record(scratch, programs.few)
    start = place_of(operations, "ledger.db")
    count = Count().look(scratch, operations[: start + 24], 2, some=3, start=start)
    assert count.wrong == []


def test_power_loss_while_a_key_is_destroyed_leaves_other_subjects_readable(scratch):
    operations = record(scratch, programs.forgetting)
    start = place_of(operations, ".gone")
    count = Count().look(scratch, operations[: start + 16], 2, some=1, start=start)
    assert count.wrong == []


def test_a_publisher_killed_before_its_first_bundle_goes_on(tmp_path):
    (tmp_path / "tiles" / "tile").mkdir(parents=True)
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        ledger.seal([Draft("step", facts={})])
        publish(ledger, tmp_path / "tiles")
    assert verify_published(tmp_path / "tiles").entries == 1


def test_everything_in_an_exported_folder_is_durable_before_it_gets_its_name(scratch):
    """The simulated disk cannot rename folders that have something in them; so the order of the calls is looked at."""
    root = scratch / "recorded"
    root.mkdir()
    recorder = Recorder(root)
    with recorder.recording(), SQLiteLedger.open(root / "log") as ledger:
        digest = ledger.put(b"an artefact")
        ledger.append("step", facts={"artefacts": {"a": digest}})
        ledger.checkpoint()
        export(ledger, root / "bundle")
    (renamed,) = [
        n for n, one in enumerate(recorder.operations) if isinstance(one, Names) and "bundle" in dict(one.changes)
    ]
    before = recorder.operations[:renamed]
    unsynced = {folder for one in before if isinstance(one, Names) for folder in one.by_folder() if ".tmp" in folder}
    assert len(unsynced) > 3
    for folder in unsynced:
        last = max(n for n, one in enumerate(before) if isinstance(one, Names) and folder in one.by_folder())
        assert SyncFolder(folder) in before[last:], folder
    assert SyncFolder("") in recorder.operations[renamed:]


# What would go wrong if the ledger did less: the simulator finds it


def test_without_faults_a_small_program_loses_nothing(scratch):
    assert Count().look(scratch, record(scratch, programs.few), 5, some=1, every=19).wrong == []


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_database_that_syncs_less_loses_entries(scratch, synchronous):
    operations = record(scratch, programs.few, synchronous=synchronous)
    count = Count().look(scratch, operations, 5, some=1, every=19)
    assert count.wrong  # and the head outside the database shows it: the log refuses to go on
    assert {what.where for _, _, found in count.wrong for what in found if isinstance(what, Problem)} == {"open"}


@pytest.mark.parametrize("folder", ["", "log", "log/keys"])
def test_a_folder_that_is_not_synced_loses_the_log(scratch, folder):
    operations = [one for one in record(scratch, programs.few) if one != SyncFolder(folder)]
    count = Count().look(scratch, operations, 5, some=2, every=23)
    assert count.wrong


def test_a_file_that_is_not_synced_is_found(scratch):
    """Take one sync of a file away, whichever: of keys, database, log and head some matter."""
    operations = record(scratch, programs.few)
    syncs = [at for at, one in enumerate(operations) if isinstance(one, Sync)]
    rng, found = random.Random(6), 0
    for at in rng.sample(syncs, 6):
        less = operations[:at] + operations[at + 1 :]
        found += bool(Count().look(scratch, less, 7, some=1, every=len(less)).wrong)
        found += bool(Count().look(scratch, less[: at + 12], 7, some=3, every=len(less), start=at + 3).wrong)
    assert found
