"""An incident opened while a run in another process holds the ledger: contained at once, on record once, never lost."""

import hashlib
import json
import os
import signal
from pathlib import Path
from runpy import run_path

import pytest
from attrs import evolve

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import SQLiteLedger
from qimg_ops import incidents as store
from qimg_rollout import blocks, stopping, stops
from qimg_rollout.leftovers import sweep, writing

given = run_path(str(Path(__file__).with_name("stops_bench.py")))
folder, running, run, opened, entries = (given[n] for n in ("folder", "running", "run", "opened", "entries"))


def end(p):
    p.stdin.write("\n")
    p.stdin.close()
    p.wait()


def proposed():
    with SQLiteLedger.open("runs", read_only=True) as log:
        return store.opening(log, title="odd results", severity=store.Severity.LOW)


def test_opened_and_contained_beside_a_run_that_then_puts_both_on_record_once(running, run, qimg):
    p = running("reference", "other")
    p.ask()
    made = run("incident", "open", "--title", "odd results", "--severity", "high", "--entry", "1")
    name = made["id"]
    assert (made["recorded"], made["holder"], made["open"], made["severity"]) == (False, str(p.pid), True, "high")
    assert Path(made["file"]).exists()
    held = run("incident", "contain", name, "--backend", "reference", "--wait", "0")
    assert not held["recorded"]
    (listed,) = run("incident", "list")["incidents"]
    assert (listed["id"], listed["title"], listed["waits"]) == (name, "odd results", made["stop"])
    assert "open, waits" in qimg("incident", "list")[1]
    assert "waits to be on record: opened: odd results" in run("incident", "report", name)["markdown"]
    assert f"incident {name} opened" in qimg("incident", "stops")[1]
    waiting = run("incident", "stops")["waiting"]
    assert [w["stop"] for w in waiting] == [made["stop"], held["stop"]]
    assert waiting[1]["previous"] == made["stop"]
    said = p.ask()
    assert said.startswith("other ")
    assert name in said
    (begun,), (block,) = entries(stopping.OPENED), entries(blocks.BLOCKED)
    assert begun.index < block.index
    assert (begun.facts["incident"], begun.facts["severity"], begun.facts["trigger"]) == (name, "high", [1])
    assert (begun.claims["title"], begun.facts["stop"]) == ("odd results", made["stop"])
    assert run("incident", "stops")["waiting"] == []
    p.ask()
    end(p)
    run("incident", "note", name, "found the cause")
    assert len(entries(stopping.OPENED)) == len(entries(store.CONTAINED)) == 1
    assert entries(store.AFFECTED)[0].facts["runs"] == [p.run]
    run("incident", "snapshot", name, "--out", "e.zip")
    run("incident", "close", name, "--cause", "c", "--change", "d", "--release")
    (listed,) = run("incident", "list")["incidents"]
    assert (listed["open"], listed["waits"], listed["entries"][0]) == (False, None, begun.index)
    assert listed["seconds_to_contain"] is not None
    with SQLiteLedger.open("runs", read_only=True) as log:
        assert blocks.in_force(log) == ()
        assert log.verify().ok


def test_an_opening_outlives_the_run_that_was_killed_and_the_next_who_writes_records_it(running, run):
    p = running("reference")
    p.ask()
    name = opened(run)
    os.kill(p.pid, signal.SIGKILL)
    p.wait()
    assert entries(stopping.OPENED) == []
    run("incident", "contain", name, "--backend", "reference")
    assert [e.facts["incident"] for e in entries(stopping.OPENED)] == [name]
    (contained,) = entries(store.CONTAINED)
    assert contained.facts["blocks"] == [entries(blocks.BLOCKED)[0].index]


def test_an_opening_that_is_refused_writes_nothing(running, run, folder):
    p = running("reference")
    p.ask()
    assert "has a title" in run("incident", "open", "--title", " ", code=2)["error"]["message"]
    run("incident", "open", "--title", "t", "--entry", "9999", code=2)
    run("incident", "contain", "inc-20261121-000000", "--backend", "reference", code=2)
    assert not (folder / "stops").exists()


def test_an_opening_whose_file_was_taken_away_shows_by_its_containment_and_the_route_is_closed(running, run):
    p = running("reference", "other")
    p.ask()
    made = run("incident", "open", "--title", "t")
    run("incident", "contain", made["id"], "--backend", "reference", "--wait", "0")
    Path(made["file"]).unlink()
    assert run("incident", "stops", code=1)["gone"] == [made["stop"]]
    assert p.ask().split()[0] == "other"
    assert run("incident", "stops", code=1)["gone"] == [made["stop"]]


def test_a_clock_that_was_set_back_does_not_put_the_containment_first(folder):
    late = evolve(proposed(), at="2099-01-01T00:00:00.000000Z")
    with SQLiteLedger.open("runs") as log:
        stops.post(stops.folder_of(log), late)
        stop = stopping.propose(log, matches=[{"backend": "b"}], reason="r", by=f"incident {late.opens.incident}")
        stops.post(stops.folder_of(log), stop)
        assert [e.kind for e in stopping.record(log)] == [stopping.OPENED, blocks.BLOCKED]


@pytest.mark.parametrize(
    "write", [lambda log, i: store.note(log, i, "x"), lambda log, i: store.snapshot(log, i, Path("e.zip"))]
)
def test_what_is_added_to_a_waiting_incident_comes_behind_its_opening(write, folder):
    stop = proposed()
    with SQLiteLedger.open("runs") as log:
        stops.post(stops.folder_of(log), stop)
        entry = write(log, stop.opens.incident)
        assert store.find(log, stop.opens.incident).entries[0].kind == stopping.OPENED
        assert entry.index > store.find(log, stop.opens.incident).entries[0].index


@pytest.mark.parametrize("change", [{"incident": "x"}, {"severity": "worst"}, {"trigger": (-1,)}, {"trigger": ("1",)}])
def test_an_opening_that_is_none_is_refused_and_as_a_file_is_a_damaged_stop(change, folder, run):
    stop = proposed()
    wrong = evolve(stop, opens=evolve(stop.opens, **change))
    with pytest.raises(ConfigurationError, match="no stop"):
        stops.post(folder / "stops", wrong)
    assert not (folder / "stops").exists()
    data = json.dumps(wrong.to_json()).encode()
    (folder / "stops").mkdir()
    (folder / "stops" / (hashlib.sha256(data).hexdigest() + ".stop")).write_bytes(data)
    assert len(run("incident", "stops", code=1)["damaged"]) == 1
    assert run("incident", "list")["incidents"] == []


# -- what a kill leaves half written -------------------------------------------------------------


def test_a_half_written_file_goes_with_the_next_record_but_not_while_somebody_writes(folder):
    place = folder / "stops"
    place.mkdir()
    left = place / ".0.stop.1.ab.tmp"
    left.write_bytes(b"half")
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # another writer, which is killed in the middle
        with writing(place):
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        assert sweep(place) == 0
        assert left.exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with SQLiteLedger.open("runs") as log:
        stopping.record(log)
    assert not left.exists()
    for handle in (*ready, *done):
        os.close(handle)
