"""Every change of a program to a folder, in order, for `qimg_core.testing.disk` (floor 8; imports disk).

Calls of Python's `os` and `io.open` are replaced while a `Recorder` is in force, and carried out too; what SQLite does
is added by `qimg_core.testing.recording_sqlite`. `Recorder.differences` compares what was recorded with what really
lies there: a call that is not recorded shows.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.testing.disk import (
    FOLDER,
    Acknowledged,
    Disk,
    Names,
    Operation,
    Resize,
    Sync,
    SyncFolder,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SHARED = "-shm"  # SQLite's shared memory: rebuilt after a crash, never synced


class Recorder:
    """Records while `recording` is in force; thread-safe. Public attributes are for those that record.

    Args:
        root: the folder. Paths are relative to it.
        before: what a program did that was killed, its changes lying there though they need not be durable. Without it,
            what lies there counts as durable.
    """

    def __init__(self, root: Path, before: Sequence[Operation] = ()) -> None:
        self.root = os.path.realpath(root)
        self.operations: list[Operation] = list(before)
        self.lock = threading.RLock()
        self._numbers = itertools.count(FOLDER + 1)
        self._names: dict[str, int] = {}
        self.handles: dict[int, int | str] = {}  # descriptor -> file, or path of a folder
        if before:
            self._continue(before)
        else:
            self._find()

    def _continue(self, before: Sequence[Operation]) -> None:
        for operation in before:
            if isinstance(operation, Names):
                self._set(operation.changes)
        self._numbers = itertools.count(max(self._names.values(), default=FOLDER) + len(before))

    def _find(self) -> None:
        there = sorted(Path(self.root).rglob("*"))
        for path in there:
            name = str(path.relative_to(self.root))
            if path.is_dir():
                self.named((name, FOLDER))
            elif not name.endswith(_SHARED):
                number = self.number(name)
                self.operations += [Write(number, 0, path.read_bytes()), Sync(number)]
        folders = [str(path.relative_to(self.root)) for path in there if path.is_dir()]
        self.operations += [SyncFolder(folder) for folder in ("", *folders)]

    # What the recorders call

    def inside(self, path: Any) -> str | None:
        """The path relative to the root; None where it lies elsewhere or is not a path."""
        if isinstance(path, int):
            return None
        full = os.path.abspath(os.fsdecode(path))
        full = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
        if full == self.root:
            return ""
        return os.path.relpath(full, self.root) if full.startswith(self.root + os.sep) else None

    def number(self, name: str) -> int:
        """The file of a name; a new one where there is none."""
        if name not in self._names:
            self.named((name, next(self._numbers)))
        return self._names[name]

    def named(self, *changes: tuple[str, int | None]) -> None:
        """Names changed at once."""
        self._set(changes)
        self.operations.append(Names(changes))

    def _set(self, changes: Iterable[tuple[str, int | None]]) -> None:
        for name, number in changes:
            if number is None:
                self._names.pop(name, None)
            else:
                self._names[name] = number

    def acknowledge(self, what: object) -> None:
        """Something was said to be durable."""
        with self.lock:
            self.operations.append(Acknowledged(what))

    # Around a program

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Replace Python's own file operations while the block runs."""
        replaced = {name: getattr(os, name) for name in _CALLS}
        opened = io.open
        recorder = self

        class File(io.FileIO):
            """A file opened for writing with `open`."""

            def write(self, data: Any, /) -> int:
                with recorder.lock:
                    at = self.tell()
                    done = super().write(data)
                    number = recorder.handles[self.fileno()]
                    assert isinstance(number, int)
                    recorder.operations.append(Write(number, at, bytes(data)[:done]))
                    return done

        def open_file(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            name = self.inside(file)
            if name is None or not set(mode) & set("wax+"):
                return opened(file, mode, *args, **more)
            given = [*args, *more.values()]
            if "b" not in mode or "a" in mode or any(value not in (-1, None) for value in given):
                raise NotImplementedError(f"open({file}, {mode!r}) is not recorded")
            raw = File(file, mode.replace("b", ""), opener=os.open)
            return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

        try:
            for name, call in replaced.items():
                setattr(os, name, self._recorded(_CALLS[name], call))
            io.open = open_file
            yield
        finally:
            for name, call in replaced.items():
                setattr(os, name, call)
            io.open = opened

    def _recorded(self, note: Callable[..., None], call: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(*args: Any, **more: Any) -> Any:
            with self.lock:
                before = _before(self, call.__name__, args)
                result = call(*args, **more)
                note(self, before, result, *args)
                return result

        return replaced

    def differences(self) -> list[str]:
        """Paths where what was recorded is not what lies there: each is a flaw of the recorder."""
        disk = Disk()
        for operation in self.operations:
            disk.do(operation)
        image = disk.crash("all", random.Random(0))
        there = [path for path in Path(self.root).rglob("*") if not path.name.endswith(_SHARED)]
        files = {str(p.relative_to(self.root)): p.read_bytes() for p in there if p.is_file()}
        folders = {str(p.relative_to(self.root)) for p in there if p.is_dir()}
        paths = files.keys() | image.files.keys()
        wrong = [path for path in paths if files.get(path) != image.files.get(path)]
        return sorted([*wrong, *(folders ^ set(image.folders))])


# The calls of `os`, each: (recorder, what was there before, result, *arguments)


def _before(recorder: Recorder, name: str, args: tuple[Any, ...]) -> Any:
    """What a call needs to know that is gone afterwards."""
    if name == "write":
        return os.lseek(args[0], 0, os.SEEK_CUR) if args[0] in recorder.handles else None
    return None


def _open(recorder: Recorder, before: Any, handle: int, path: Any, flags: int, *_: Any) -> None:
    recorder.handles.pop(handle, None)  # closed by a file object, and given out again
    name = recorder.inside(path)
    if name is None:
        return
    if os.path.isdir(path):
        recorder.handles[handle] = name
    elif flags & (os.O_WRONLY | os.O_RDWR):
        recorder.handles[handle] = number = recorder.number(name)
        if flags & os.O_TRUNC:
            recorder.operations.append(Resize(number, 0))


def _write(recorder: Recorder, at: Any, done: int, handle: int, data: Any) -> None:
    _pwrite(recorder, None, done, handle, data, at)


def _pwrite(recorder: Recorder, before: Any, done: int, handle: int, data: Any, at: int) -> None:
    number = recorder.handles.get(handle)
    if isinstance(number, int):
        recorder.operations.append(Write(number, at, bytes(data)[:done]))


def _truncate(recorder: Recorder, before: Any, result: Any, handle: int, size: int) -> None:
    number = recorder.handles.get(handle)
    if isinstance(number, int):
        recorder.operations.append(Resize(number, size))


def _sync(recorder: Recorder, before: Any, result: Any, handle: int) -> None:
    what = recorder.handles.get(handle)
    if what is not None:
        recorder.operations.append(Sync(what) if isinstance(what, int) else SyncFolder(what))


def _close(recorder: Recorder, before: Any, result: Any, handle: int) -> None:
    recorder.handles.pop(handle, None)


def _replace(recorder: Recorder, before: Any, result: Any, old: Any, new: Any) -> None:
    source, target = recorder.inside(old), recorder.inside(new)
    if source is not None and target is not None:
        recorder.named((target, recorder.number(source)), (source, None))


def _link(recorder: Recorder, before: Any, result: Any, old: Any, new: Any) -> None:
    source, target = recorder.inside(old), recorder.inside(new)
    if source is not None and target is not None:
        recorder.named((target, recorder.number(source)))


def _unlink(recorder: Recorder, before: Any, result: Any, path: Any) -> None:
    name = recorder.inside(path)
    if name is not None:
        recorder.named((name, None))


def _mkdir(recorder: Recorder, before: Any, result: Any, path: Any, *_: Any) -> None:
    name = recorder.inside(path)
    if name is not None:
        recorder.named((name, FOLDER))


_CALLS: dict[str, Callable[..., None]] = {
    "open": _open,
    "write": _write,
    "pwrite": _pwrite,
    "ftruncate": _truncate,
    "fsync": _sync,
    "fdatasync": _sync,
    "close": _close,
    "replace": _replace,
    "rename": _replace,
    "link": _link,
    "unlink": _unlink,
    "remove": _unlink,
    "rmdir": _unlink,
    "mkdir": _mkdir,
}
