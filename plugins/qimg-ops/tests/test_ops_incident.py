"""An incident from a first entry to a post-mortem draft, and what is refused on the way."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qimg_core.errors import AdmissionDenied, ConfigurationError
from qimg_core.ledger import SQLiteLedger
from qimg_core.session import Session
from qimg_ops import incidents as store
from qimg_ops.containing import contain
from qimg_ops.post_mortem import QUESTIONS
from qimg_rollout.blocks import in_force


@pytest.fixture
def run(qimg):
    def call(*argv, code=0):
        found, out, err = qimg("incident", *argv, "--json")
        assert found == code, err
        return json.loads(out)

    return call


def generate(registry, *fallback):
    with Session("runs", seed=9, backend="reference", fallback=fallback, registry=registry) as session:
        return session.generator("toy").sample(3)


def test_from_opening_to_post_mortem(run, record, registry, tmp_path):
    made = run("open", "--title", "pixels out of range", "--severity", "high", "--entry", "3")
    name = made["id"]
    run("note", name, "two more reports")
    frozen = run("snapshot", name, "--out", "evidence.zip")
    data = (tmp_path / "evidence.zip").read_bytes()
    assert frozen["bundle"] == "sha256:" + hashlib.sha256(data).hexdigest()
    held = run("contain", name, "--backend", "reference")
    assert sorted(held["affected"]["runs"]) == sorted(record)
    assert held["affected"]["n_images_entries"] == 2
    with pytest.raises(AdmissionDenied, match=name):
        generate(registry)
    closed = run("close", name, "--cause", "a wrong sign", "--change", "a test of the sign", "--release")
    assert not closed["open"]
    assert generate(registry).quantum
    text = run("report", name, "--out", "post-mortem.md")["markdown"]
    assert all(q in text for q in QUESTIONS)
    for words in ("pixels out of range", "two more reports", "a wrong sign", "a test of the sign", *record):
        assert words in text
    found = run("list")
    assert found["mean_seconds_to_restore"] == found["incidents"][0]["seconds_to_close"]
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        archive.extractall(tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "bundle/verify.py"), str(tmp_path / "evidence.zip")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_times_are_those_of_the_entries(record):
    with SQLiteLedger.open("runs") as log:
        found = store.open_incident(log, title="t", severity=store.Severity.LOW)
        assert found.seconds(store.CLOSED) is None
        assert store.mean_time_to_restore([found]) is None
        store.snapshot(log, found.id, Path("e.zip"))
        store.close(log, found.id, cause="c", changes=["d"])
        entries = list(log.entries(kind="incident.opened")) + list(log.entries(kind="incident.closed"))
        a, b = (e.time for e in entries)
        gap = (int(b[11:13]) - int(a[11:13])) * 3600 + (int(b[14:16]) - int(a[14:16])) * 60
        gap += float(b[17:26]) - float(a[17:26])
        assert store.find(log, found.id).seconds(store.CLOSED) == int(gap % 86400)


def test_refusals(run, record):
    name = run("open", "--title", "x")["id"]
    assert "no incident" in run("note", "inc-0", "x", code=2)["error"]["message"]
    assert "evidence" in run("close", name, "--cause", "c", "--change", "d", code=2)["error"]["message"]
    assert "nothing to contain" in run("contain", name, code=2)["error"]["message"]
    assert ".zip" in run("snapshot", name, "--out", "e.txt", code=2)["error"]["message"]
    run("open", "--title", " ", code=2)
    run("open", "--title", "x", "--entry", "9999", code=2)
    run("snapshot", name, "--out", "e.zip")
    run("snapshot", name, "--out", "e.zip", code=2)
    run("close", name, "--cause", "c", "--change", "d")
    run("contain", name, "--backend", "reference", code=2)


@pytest.mark.parametrize("by_command", [True, False])
def test_the_same_device_contained_twice_is_blocked_once_by_each_incident(by_command, run, record):
    first, second = (run("open", "--title", t)["id"] for t in ("a", "b"))

    def again(name):
        if by_command:
            return run("contain", name, "--backend", "reference")["blocks"]
        with SQLiteLedger.open("runs") as log:
            return contain(log, name, backends=["reference"]).facts["blocks"]

    mine = again(first)
    assert again(first) == mine
    assert len(again(second)) == 1
    with SQLiteLedger.open("runs") as log:
        assert [b.by for b in in_force(log)] == [f"incident {first}", f"incident {second}"]
        assert [len(i.of(store.CONTAINED)) for i in store.incidents(log)] == [2, 1]
        store.snapshot(log, first, Path("e.zip"))
        _, free = store.close(log, first, cause="c", changes=["d"], release=True)
        assert list(free) == mine
        assert [b.by for b in in_force(log)] == [f"incident {second}"]  # the other one is not over


def test_a_chain_goes_on_while_a_device_is_contained_and_unknown_things_touched_nothing(record, registry):
    with SQLiteLedger.open("runs") as log:
        found = store.open_incident(log, title="t", severity=store.Severity.LOW)
        contain(log, found.id, backends=["ibm:ibm_fez"], weights=["sha256:" + "0" * 64])
        (listed,) = store.find(log, found.id).of(store.AFFECTED)
        assert listed.facts["n_runs"] == 0
        assert len(listed.facts["unknown"]) == 2
        assert [dict(b.match) for b in in_force(log)] == [
            {"backend": "ibm:ibm_fez"},
            {"weights": "sha256:" + "0" * 64},
        ]
        contain(log, found.id, backends=["ibm:ibm_fez"])
        assert len(in_force(log)) == 2  # asked twice, blocked once
    assert generate(registry).quantum
    with SQLiteLedger.open("runs") as log, pytest.raises(ConfigurationError, match="an incident has a title"):
        store.open_incident(log, title="", severity=store.Severity.LOW)
