from __future__ import annotations

import errno
import hashlib
import os

import pytest

from qimg_core.errors import StorageError
from qimg_core.storage import ensure_folder, sha256_digest, write_atomic


def failing(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


def test_digest_is_sha256():
    # FIPS 180-4 example: the message "abc".
    assert sha256_digest(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old" * 1000, mode=0o600)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_mode_is_set(tmp_path):
    write_atomic(tmp_path / "key", b"x", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failing_disk_leaves_the_old_content(tmp_path, monkeypatch, call, code):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(StorageError) as caught:
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert str(path) in caught.value.message
    assert os.strerror(code) in caught.value.message
    assert caught.value.hint


def test_partial_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    write_atomic(tmp_path / "file", bytes(range(256)))
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == bytes(range(256))


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_file_in_the_way(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        write_atomic(tmp_path / "no" / "file", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a file of that name is in the way"):
        ensure_folder(tmp_path / "file" / "sub")


def test_folders_are_made_with_parents(tmp_path):
    made = ensure_folder(tmp_path / "a" / "b" / "c")
    assert made.is_dir()
    assert ensure_folder(made) == made


def test_a_full_and_a_read_only_disk(tiny_disk):
    disk, read_only = tiny_disk
    write_atomic(disk / "kept", b"kept")
    with pytest.raises(StorageError, match="full"):
        write_atomic(disk / "kept", os.urandom(2_000_000))
    assert [p.name for p in disk.iterdir()] == ["kept"]
    assert (disk / "kept").read_bytes() == b"kept"
    read_only()
    with pytest.raises(StorageError, match="read-only"):
        write_atomic(disk / "kept", b"x")
    with pytest.raises(StorageError, match="read-only"):
        ensure_folder(disk / "sub")
    assert hashlib.sha256((disk / "kept").read_bytes()).hexdigest() == hashlib.sha256(b"kept").hexdigest()
