"""The simulated disk and its recorder, by hand: what stays, what tears, what is not recorded."""

from __future__ import annotations

import random

from qimg_core.testing.disk import Disk, Names, Resize, Sync, SyncFolder, Write
from qimg_core.testing.recording import Recorder


def crashed(operations, keep, seed=0):
    disk = Disk()
    for operation in operations:
        disk.do(operation)
    image = disk.crash(keep, random.Random(seed))
    return dict(image.files), image.folders


def test_what_is_synced_stays_and_nothing_else():
    made = [Names((("a", 1),)), Write(1, 0, b"one")]
    assert crashed(made, "synced") == ({}, ())
    assert crashed(made, "all") == ({"a": b"one"}, ())
    assert crashed([*made, Sync(1)], "synced") == ({}, ())  # its name is not durable
    assert crashed([*made, SyncFolder("")], "synced") == ({"a": b""}, ())  # its bytes are not
    both = [*made, Sync(1), SyncFolder("")]
    assert crashed(both, "synced") == ({"a": b"one"}, ())
    later = [*both, Write(1, 1, b"xyz"), Resize(1, 2)]
    assert crashed(later, "synced") == ({"a": b"one"}, ())
    assert crashed(later, "all") == ({"a": b"ox"}, ())


def test_a_replaced_file_is_the_old_or_the_new():
    both = [Names((("a", 1),)), Write(1, 0, b"old"), Sync(1), SyncFolder("")]
    new = [*both, Names((("t", 2),)), Write(2, 0, b"new"), Sync(2), Names((("a", 2), ("t", None)))]
    found = {repr(crashed(new, "some", seed)[0]) for seed in range(40)}
    assert found == {repr(files) for files in ({"a": b"old"}, {"a": b"old", "t": b"new"}, {"a": b"new"})}
    assert crashed([*new, SyncFolder("")], "synced")[0] == {"a": b"new"}


def test_a_folder_takes_what_is_in_it_with_it():
    made = [Names((("f", 0),)), Names((("f/a", 1),)), Write(1, 0, b"x"), Sync(1), SyncFolder("f")]
    assert crashed(made, "synced") == ({}, ())
    assert crashed([*made, SyncFolder("")], "synced") == ({"f/a": b"x"}, ("f",))


def test_writes_tear_at_sectors_of_512_bytes():
    made = [Names((("a", 1),)), SyncFolder(""), Write(1, 0, b"\1" * 2048), Sync(1), Write(1, 100, b"\2" * 1500)]
    seen = {crashed(made, "some", seed)[0]["a"] for seed in range(200)}
    edges = {at for data in seen for at in range(1, 2048) if data[at] != data[at - 1]}
    assert edges == {100, 512, 1024, 1536, 1600}
    assert len(seen) == 16


def test_what_is_not_recorded_shows(tmp_path):
    recorder = Recorder(tmp_path)
    with recorder.recording():
        (tmp_path / "seen").write_bytes(b"1")
    assert recorder.differences() == []
    (tmp_path / "unseen").write_bytes(b"2")
    assert recorder.differences() == ["unseen"]
