"""What ``qimg verify`` says about outside memories: receipts, kept checkpoints, online answers (imports ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import ConfigurationError, LedgerCorrupt, QimgError
from qimg_core.ledger.base import Problem
from qimg_core.ledger.encrypted import is_encrypted
from qimg_core.ledger.merkle import Frontier, leaf_hash
from qimg_core.ledger.note import split_note
from qimg_core.storage import storage_error
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Verification
    from qimg_core.ledger.memories import Memories
    from qimg_core.ledger.remembered import Remembered


def remember(
    app: App, where: str, checked: Verification, *, checkpoint: str | None, online: bool
) -> tuple[Verification, list[dict[str, Any]]]:
    """Compare a verified ledger or bundle with what is remembered outside of it.

    Args:
        app: for its plugins.
        where: the folder, URI or bundle that was verified.
        checked: how that ended.
        checkpoint: file with a signed head that somebody kept.
        online: ask the configured memories.

    Returns:
        The verification with what was found added, and a document for each memory.

    Raises:
        ConfigurationError: ``online`` without memories, a file that is not there.
    """
    from qimg_core.ledger.opening import has_ledger

    note = None if checkpoint is None else _read(Path(checkpoint))
    path = Path(where)
    if "://" not in where and path.is_file() and is_encrypted(path):
        if online or note is not None:
            raise ConfigurationError(f"{where} is encrypted: --checkpoint and --online do not go with it")
        return checked, []
    if "://" not in where and (path.suffix == ".zip" or (path / "manifest.json").exists()):
        if online:
            raise ConfigurationError("--online is for ledgers", hint="for a bundle: --checkpoint FILE")
        return (checked if note is None else _bundle(path, checked, note, str(checkpoint))), []
    if not has_ledger(where):
        if online or note is not None:
            raise ConfigurationError(f"{where} is no ledger: --online and --checkpoint need one, or a bundle")
        return checked, []
    memories, excuse = _memories(app, where, online=online)
    try:
        found = _compared(app, where, memories, note, str(checkpoint), online=online)
    except ConfigurationError:
        raise
    except QimgError as error:
        if checked.verdict is Verdict.FAIL:  # too damaged to compare, and that was found already
            return evolve(checked, notes=(*checked.notes, f"not compared with the outside: {error.message}")), []
        return _with(checked, [Problem("ledger", error.message)], [], []), []
    finally:
        if memories is not None:
            memories.close()
    return _with(checked, list(found.problems), [*found.notes, *excuse], found.unsure), list(found.memories)


def _memories(app: App, where: str, *, online: bool) -> tuple[Memories | None, list[str]]:
    from qimg_core.ledger.memories import memories_of

    try:
        memories = memories_of(where, app.registry, demand=False)
    except QimgError as error:
        if online:
            raise
        return None, [f"the outside memories cannot be set up here, their receipts are unchecked: {error.message}"]
    if online and (memories is None or not memories.all):
        raise ConfigurationError(f"--online: no outside memories are configured for {where}")
    return memories, []


def _compared(
    app: App, where: str, memories: Memories | None, note: bytes | None, kept: str, *, online: bool
) -> Remembered:
    from qimg_core.ledger.opening import open_ledger
    from qimg_core.ledger.remembered import Remembered, ask_memories, check_checkpoint, check_receipts

    with open_ledger(where, app.registry, create=False, read_only=True) as ledger:
        parts = [check_receipts(ledger, memories)]
        if note is not None:
            parts.append(check_checkpoint(ledger, note, kept))
        if online and memories is not None:
            parts.append(ask_memories(ledger, memories.all))
    return Remembered(
        problems=tuple(problem for part in parts for problem in part.problems),
        notes=tuple(line for part in parts for line in part.notes),
        unsure=tuple(line for part in parts for line in part.unsure),
        memories=parts[0].memories,
    )


def _with(checked: Verification, problems: list[Problem], notes: list[str], unsure: Any) -> Verification:
    verdict = checked.verdict
    if problems:
        verdict = Verdict.FAIL
    elif unsure and verdict is Verdict.PASS:
        verdict = Verdict.INCONCLUSIVE
    return evolve(
        checked,
        verdict=verdict,
        problems=(*checked.problems, *problems),
        notes=(*checked.notes, *notes, *unsure),
    )


def _bundle(path: Path, checked: Verification, note: bytes, kept: str) -> Verification:
    """Compare a checkpoint with a bundle of every entry, or with the heads in a bundle of some."""
    from qimg_core.ledger import canonical
    from qimg_core.ledger.cosignature import head_of
    from qimg_core.ledger.standalone import verify as standalone

    if checked.verdict is Verdict.FAIL:
        return evolve(checked, notes=(*checked.notes, f"{kept}: not compared with a bundle that does not hold"))
    files = standalone.Folder(path) if path.is_dir() else standalone.Zip(str(path))
    manifest = canonical.loads(standalone.read(files, standalone.MANIFEST))
    try:
        head = head_of(split_note(note)[0])
    except LedgerCorrupt as error:
        return _with(checked, [Problem(kept, error.message)], [], [])
    if head.origin != manifest["origin"]:
        what = f"is of the log {head.origin}, this bundle of {manifest['origin']}"
        return _with(checked, [Problem(kept, what)], [], [])
    if head.size > manifest["size"]:
        what = f"rollback: it is a head over {head.size:,} entries, and the bundle is of {manifest['size']:,}"
        return _with(checked, [Problem(kept, what)], [], [])
    name = f"checkpoints/{head.size}.note"
    if manifest["complete"]:
        frontier = Frontier()
        with files.open(standalone.ENTRIES) as lines:
            for line, _ in zip(lines, range(head.size), strict=False):
                frontier.append(leaf_hash(line.removesuffix(b"\n")))
        root = frontier.root()
    elif name in files.names:
        root = head_of(split_note(standalone.read(files, name))[0]).root
    else:
        what = f"{kept}: the bundle holds some entries and no head over {head.size:,}: it cannot be compared"
        return _with(checked, [], [], [what])
    if root != head.root:
        what = f"fork: the first {head.size:,} entries of the bundle's log are not those under this head"
        return _with(checked, [Problem(kept, what)], [], [])
    return _with(checked, [], [f"{kept}: the bundle's log continues the kept head over {head.size:,} entries"], [])


def remember_published(where: str, checked: Verification, kept: str, vkeys: bytes | None) -> Verification:
    """Compare a kept checkpoint with a published log that holds.

    Args:
        where: folder or http(s) address.
        checked: how its verification ended.
        kept: file with the head.
        vkeys: content of a trusted key file; else the published keys.

    Raises:
        ConfigurationError: no such file.
        StorageError: something cannot be read.
    """
    from qimg_core.ledger.cosignature import head_of
    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.tile_log import TileLog
    from qimg_core.ledger.tile_source import open_source

    note = _read(Path(kept))
    if checked.verdict is Verdict.FAIL:
        return evolve(checked, notes=(*checked.notes, f"{kept}: not compared with a published log that does not hold"))
    with open_source(where) as source:
        try:
            head = head_of(split_note(note)[0])
            log = TileLog(source, None if vkeys is None else KeyHistory.parse(vkeys.decode()))
            if head.origin != log.origin:
                what = f"is of the log {head.origin}, this one is {log.origin}"
            elif head.size > len(log):
                what = f"rollback: it is a head over {head.size:,} entries, and {len(log):,} are published"
            elif log.root(head.size) != head.root:
                what = f"fork: the first {head.size:,} published entries are not those under this head"
            else:
                said = f"{kept}: the published log continues the kept head over {head.size:,} entries"
                return _with(checked, [], [said], [])
        except LedgerCorrupt as error:
            what = error.message
    return _with(checked, [Problem(kept, what)], [], [])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"no file {path}", hint="keep one: qimg ledger checkpoint > FILE") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error


def memory_lines(memories: list[dict[str, Any]]) -> list[str]:
    """A line for each memory: what it has kept, by its newest receipt that holds."""
    return [
        f"  {one['name']} ({one['kind']}): "
        + ("no receipt" if one["size"] is None else f"the head over {one['size']:,} entries: {one['said']}")
        for one in memories
    ]
