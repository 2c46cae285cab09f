"""Settings, handover, governed and open mode, with honest memories in this process."""

from __future__ import annotations

import logging
import sys
import types
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from qimg_core import Registry, Session
from qimg_core.errors import ConfigurationError, LedgerCorrupt, OutsideMemoryError, StorageError, UnknownName
from qimg_core.hooks import hookimpl
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.handover import hand_over
from qimg_core.ledger.memories import memories_of
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.receipts import last_kept, receipt_of, worth_keeping
from qimg_core.ledger.remembered import ask_memories, check_checkpoint, check_receipts
from qimg_core.ledger.settings import read_settings, settings_path
from qimg_core.testing.toy import ToyPlugin

GOVERNED = """
mode = "governed"
[memory.wa]
use = "honest"
[memory.vault]
use = "honest-archive"
"""


def _outside() -> types.ModuleType:
    """The module beside this one, under a name by which a descriptor can name it."""
    name = "qimg_test_outside_memories"
    if name not in sys.modules:
        spec = spec_from_file_location(name, Path(__file__).with_name("outside_memories.py"))
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


outside = _outside()


@pytest.fixture(autouse=True)
def clean():
    outside.reset()
    yield
    outside.reset()


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(outside.OutsidePlugin(), "outside")
    return found


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def configure(folder, text=GOVERNED):
    (folder / "ledger.toml").write_text(text)


def run(folder, registry, text="anything", **more):
    with Session(folder, seed=1, backend="reference", registry=registry, **more) as session:
        session.record("note.made", {"text": text})
    return session.run


def kinds(folder):
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        return [entry.kind for entry in ledger.entries()]


# Settings


def test_settings_are_read(runs):
    configure(runs, GOVERNED + 'colour = "blue"\n')
    found = read_settings(settings_path(runs))
    assert found.mode == "governed"
    assert [(m.name, m.use, dict(m.options)) for m in found.memories] == [
        ("wa", "honest", {}),
        ("vault", "honest-archive", {"colour": "blue"}),
    ]
    assert found.digest.startswith("sha256:")
    (runs / "ledger.toml").unlink()
    assert read_settings(settings_path(runs)) is None
    assert settings_path(None) is None


def test_a_ledger_without_a_folder_has_its_settings_by_the_environment(runs, monkeypatch, registry):
    monkeypatch.delenv("QIMG_LEDGER_SETTINGS", raising=False)
    assert settings_path("postgresql://host/base") is None
    configure(runs)
    monkeypatch.setenv("QIMG_LEDGER_SETTINGS", str(runs / "ledger.toml"))
    assert [m.name for m in memories_of("postgresql://host/base", registry).all] == ["wa", "vault"]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("mode = ", ConfigurationError, "is not TOML"),
        ('mode = "strict"', ConfigurationError, "wanted 'open' or 'governed'"),
        ('moed = "open"', UnknownName, "did you mean 'mode'"),
        ("memory = 3", ConfigurationError, "wanted tables"),
        ("[memory.wa]\n", ConfigurationError, "lacks use"),
        ('[memory.Wa]\nuse = "honest"', ConfigurationError, "cannot name a memory"),
        ('[memory.wa]\nuse = "honest"\nname = "x"', ConfigurationError, "given by the file itself"),
        ('[memory.wa]\nuse = "honset"', UnknownName, "did you mean 'honest'"),
        ('[memory.wa]\nuse = "honest"\ncolor = "x"', ConfigurationError, r"(?s)color.*honest takes: colour"),
        ('mode = "governed"', ConfigurationError, "demands an archive and a witness quorum or a time stamp"),
        ('mode = "governed"\n[memory.a]\nuse = "honest-archive"', ConfigurationError, "demands a witness quorum or a"),
        (
            'mode = "governed"\n[memory.a]\nuse = "honest"',
            ConfigurationError,
            "demands an archive; configured: witness",
        ),
    ],
)
def test_what_is_not_configured_is_refused_before_anything_is_written(runs, registry, text, error, reason):
    configure(runs, text)
    before = sorted(runs.rglob("*"))
    with pytest.raises(error, match=reason):
        Session(runs, seed=1, backend="reference", registry=registry)
    assert sorted(runs.rglob("*")) == before


def test_archive_and_time_stamp_are_enough_for_governed_mode(runs, registry):
    configure(runs, GOVERNED.replace('"honest"', '"honest-stamp"'))
    run(runs, registry)
    assert kinds(runs)[-2:] == ["checkpoint.kept", "checkpoint.kept"]


def test_a_memory_gets_its_name_and_the_folder_of_the_settings(runs, registry):
    configure(runs)
    made = memories_of(runs, registry).all[0]
    assert (made.name, made.folder) == ("wa", runs.absolute())


# Handover


def test_each_run_is_kept_once_and_its_receipts_are_covered_by_the_next_head(runs, registry):
    configure(runs)
    run(runs, registry)
    run(runs, registry)
    one = ["run.started", "note.made", "run.finished", "checkpoint.kept", "checkpoint.kept"]
    assert kinds(runs) == one + one
    assert outside.ASKED == [("wa", 3), ("vault", 3), ("wa", 8), ("vault", 8)]
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        sizes = [Checkpoint.parse(split_note(note)[0]).size for note in ledger.checkpoints()]
        assert sizes == [3, 5, 8, 10]
        assert ledger.verify().notes == ()
        started = ledger.entry(5).facts["outside"]
        receipt = receipt_of(ledger, ledger.entry(9))
        assert receipt.evidence == ledger.checkpoints()[2]
    assert started["mode"] == "governed"
    assert [m["kind"] for m in started["memories"]] == ["witness", "archive"]


def test_there_is_no_endless_loop(runs, registry):
    configure(runs)
    run(runs, registry)
    with SQLiteLedger.open(runs) as ledger:
        memories = memories_of(ledger, registry)
        for _ in range(3):
            done = hand_over(ledger, memories.all, lambda kind, facts: ledger.append(kind, facts=facts))
            assert (done.head, done.kept, done.rest) == (None, (), ("wa", "vault"))
        assert len(ledger) == 5
        assert worth_keeping(ledger) == 3


def test_a_session_that_did_nothing_asks_nobody(runs, registry):
    configure(runs)
    with Session(runs, seed=1, backend="reference", registry=registry):
        pass
    assert outside.ASKED == []
    assert not (runs / "ledger.db").exists()


def test_in_governed_mode_a_failure_ends_the_run_with_an_error_and_the_record_stays(runs, registry):
    configure(runs)
    outside.DOWN["wa"] = OutsideMemoryError("is down")
    with pytest.raises(OutsideMemoryError, match=r"(?s)3 entries was not kept by 1 of 2.*wa: is down.*ledger anchor"):
        run(runs, registry)
    assert kinds(runs)[2:] == ["run.finished", "checkpoint.unkept", "checkpoint.kept"]
    with SQLiteLedger.open(runs) as ledger:
        assert ledger.verify().ok
        assert ledger.verify().notes == ()
        facts = ledger.entry(3).facts
        assert (facts["memory"], facts["size"], facts["error"], facts["reason"]) == (
            "wa",
            3,
            "OutsideMemoryError",
            "is down",
        )
        outside.DOWN.clear()  # and later it catches up, alone, with the newest head
        memories = memories_of(ledger, registry)
        done = memories.keep(ledger, lambda kind, facts: ledger.append(kind, facts=facts))
        assert ([r.memory for r in done.kept], done.head.size, done.rest) == (["wa"], 5, ("vault",))
        assert check_receipts(ledger, memories).notes == ()


def test_in_open_mode_a_failure_is_a_warning(runs, registry, caplog):
    configure(runs, GOVERNED.replace("governed", "open"))
    outside.DOWN["vault"] = OutsideMemoryError("is down")
    with caplog.at_level(logging.WARNING, "qimg"):
        run(runs, registry)
    assert "vault: is down" in caplog.text
    assert "qimg ledger anchor" in caplog.text
    assert kinds(runs)[-1] == "checkpoint.unkept"


@pytest.mark.parametrize("error", [StorageError("disk full"), ValueError("secret text of a plugin's bug")])
def test_any_failure_of_a_memory_is_written_down_and_stops_no_other(runs, registry, error, caplog):
    configure(runs)
    outside.DOWN["wa"] = error
    with pytest.raises(OutsideMemoryError):
        run(runs, registry)
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        facts = ledger.entry(3).facts
    assert outside.ASKED == [("wa", 3), ("vault", 3)]
    assert "secret" not in facts["reason"]


def test_the_error_of_the_run_itself_is_the_one_that_is_raised(runs, registry):
    configure(runs)
    outside.DOWN["wa"] = OutsideMemoryError("is down")
    with pytest.raises(KeyError, match="mine") as caught:
        with Session(runs, seed=1, backend="reference", registry=registry) as session:
            session.record("note.made", {})
            raise KeyError("mine")
    assert any("wa: is down" in note for note in caught.value.__notes__)
    assert "checkpoint.unkept" in kinds(runs)


class Lying(outside.Honest):
    """Gives receipts that do not hold."""

    def keep(self, ledger, note):
        receipt = super().keep(ledger, note)
        import attrs

        return attrs.evolve(
            receipt, **{"size": {"size": 99}, "evidence": {"evidence": b"x"}, "name": {"memory": "y"}}[self.colour]
        )


class LyingPlugin:
    @hookimpl
    def qimg_outside_memories(self):
        from qimg_core.hooks import OutsideMemorySpec

        return [OutsideMemorySpec(name="lying", target="qimg_test_outside_memories:Lying")]


@pytest.mark.parametrize(
    ("colour", "reason"), [("size", "another head"), ("evidence", "does not hold"), ("name", "bears the name 'y'")]
)
def test_a_receipt_that_does_not_hold_is_a_failure(runs, registry, colour, reason):
    outside.Lying = Lying
    registry.register(LyingPlugin(), "lying")
    configure(runs, GOVERNED.replace('use = "honest"\n', f'use = "lying"\ncolour = "{colour}"\n'))
    with pytest.raises(OutsideMemoryError, match=reason):
        run(runs, registry)


def test_the_last_receipts_are_found_in_a_long_log(tmp_path):
    from qimg_core.ledger import Draft

    with SQLiteLedger.open(tmp_path / "long") as ledger:
        for k in range(3):
            ledger.append("checkpoint.kept", facts={"memory": "a", "size": k})
            ledger.append("checkpoint.kept", facts={"memory": f"b{k}", "size": k})
            ledger.extend([Draft("step", facts={"i": i}) for i in range(700)])
        found = last_kept(ledger, ["a", "b0", "b2", "never"])
    assert {name: entry.facts["size"] for name, entry in found.items()} == {"a": 2, "b0": 0, "b2": 2}


# Rollback and rewriting: what outside memory adds


@pytest.fixture
def two_runs(runs, registry):
    """A governed ledger with two runs; a copy of its state after the first."""
    import shutil

    configure(runs)
    run(runs, registry)
    old = runs.with_name("old")
    shutil.copytree(runs, old)
    run(runs, registry, text="the second run")
    return runs, old


def look(folder, registry, online=False):
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        memories = memories_of(ledger, registry, demand=False)
        alone, receipts = ledger.verify(), check_receipts(ledger, memories)
        asked = ask_memories(ledger, memories.all) if online else None
    return alone, receipts, asked


def test_a_good_ledger_passes_online_and_offline(two_runs, registry):
    alone, receipts, asked = look(two_runs[0], registry, online=True)
    assert alone.ok
    assert (receipts.problems, receipts.notes, asked.problems, asked.unsure) == ((), (), (), ())
    assert [(m["name"], m["receipts"], m["size"]) for m in receipts.memories] == [("wa", 2, 8), ("vault", 2, 8)]
    assert all("continues it" in note for note in asked.notes)


def test_a_rollback_is_found_outside_and_not_inside(two_runs, registry):
    _, old = two_runs
    alone, receipts, asked = look(old, registry, online=True)
    assert alone.ok  # the limit of a log alone: yesterday's copy is whole
    assert receipts.problems == ()
    assert {p.where for p in asked.problems} == {"wa", "vault"}
    assert all("rollback: it holds a head over 8 entries, and this log has 5" in p.what for p in asked.problems)
    assert all("signed by this log's own key" in p.what for p in asked.problems)
    with pytest.raises(LedgerCorrupt, match="fork before 8"):  # and going on with it is a fork
        run(old, registry)


def rewrite(folder, stolen):
    """Another history under the same name, signed with stolen keys; without the receipts, which a thief cannot make."""
    import shutil

    (folder / "ledger.db").unlink()
    for name in ("ledger.db-wal", "ledger.db-shm", "keys/last.checkpoint"):
        (folder / name).unlink(missing_ok=True)
    shutil.copytree(stolen, folder / "keys", dirs_exist_ok=True)
    (folder / "keys" / "last.checkpoint").unlink(missing_ok=True)
    with SQLiteLedger.open(folder) as ledger:
        for k in range(12):
            ledger.append("note.made", run="r", facts={"text": f"nicer numbers {k}"})
            if k == 7:
                ledger.checkpoint()  # a head of the very size that the memories hold
        ledger.checkpoint()


def test_a_rewrite_with_stolen_keys_is_found_outside_and_not_inside(two_runs, registry):
    runs, old = two_runs
    rewrite(runs, old / "keys")
    alone, receipts, asked = look(runs, registry, online=True)
    assert alone.ok, alone.problems  # the limit of a log alone
    assert receipts.problems == ()
    assert all("fork: the first 8 entries" in p.what for p in asked.problems)
    assert len(asked.problems) == 2


def test_a_receipt_of_another_history_does_not_help_the_thief(two_runs, registry):
    runs, old = two_runs
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        entry = ledger.entry(8)
        facts, evidence = dict(entry.facts), ledger.get(entry.artefacts["evidence"])
    rewrite(runs, old / "keys")
    with SQLiteLedger.open(runs) as ledger:
        ledger.put(evidence)
        ledger.append("checkpoint.kept", facts=facts)
        ledger.checkpoint()
    _, receipts, _ = look(runs, registry)
    assert any("of another log" in p.what for p in receipts.problems)


def test_a_checkpoint_kept_by_hand_works_the_same(two_runs, registry):
    runs, old = two_runs
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        kept = ledger.checkpoints()[-1]
        good = check_checkpoint(ledger, kept, "mine")
        assert good.problems == ()
        assert "continues the kept head over 10 entries" in good.notes[0]
        wrong = check_checkpoint(ledger, kept.replace(b"\n10\n", b"\n11\n"), "mine")
        assert "is wrong" in wrong.problems[0].what
    with SQLiteLedger.open(old, read_only=True) as ledger:
        assert "rollback" in check_checkpoint(ledger, kept, "mine").problems[0].what
    rewrite(runs, old / "keys")
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        found = check_checkpoint(ledger, kept, "mine").problems[0]
        assert "fork" in found.what
        assert "signed by this log's own key" in found.what
    with SQLiteLedger.open(old.with_name("other")) as ledger:
        ledger.append("x", facts={})
        assert "is of the log" in check_checkpoint(ledger, kept, "mine").problems[0].what


def test_replaced_keys_show_by_a_kept_checkpoint(two_runs):
    runs, _ = two_runs
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        kept, origin = ledger.checkpoints()[0], ledger.origin
        bodies = list(ledger.entries())[:3]
    other = runs.with_name("replaced")
    with SQLiteLedger.open(other, origin=origin) as ledger:  # same name, same first bytes cannot be had: times differ
        for entry in bodies:
            ledger.append(entry.kind, run=entry.run, facts={"text": "forged"})
        ledger.checkpoint()
        found = check_checkpoint(ledger, kept, "mine").problems[0]
    assert "not signed by the keys beside this ledger" in found.what


def test_a_memory_that_cannot_be_asked_leaves_the_question_open(two_runs, registry):
    outside.DOWN["vault"] = OutsideMemoryError("is down")
    _, _, asked = look(two_runs[0], registry, online=True)
    assert asked.problems == ()
    assert asked.unsure == ("vault could not be asked: is down",)


def test_a_ledger_that_is_governed_no_more_is_noted(two_runs, registry):
    runs, _ = two_runs
    (runs / "ledger.toml").unlink()
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        found = check_receipts(ledger, None)
    assert found.problems == ()
    assert any("were they changed?" in note for note in found.notes)
    assert any("receipts of 'wa' were not checked" in note for note in found.notes)


def test_what_no_memory_has_kept_yet_is_noted(runs, registry):
    configure(runs)
    outside.DOWN["wa"] = OutsideMemoryError("is down")
    with pytest.raises(OutsideMemoryError):
        run(runs, registry)
    _, receipts, _ = look(runs, registry)
    assert [note for note in receipts.notes if "wa has kept 0 of 3 entries" in note]
