"""The outside memories of a ledger, from its settings, and what governed mode demands (imports settings, handover).

Constructed when a session or a command begins, so that what is missing is said before anything is written.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.handover import hand_over
from qimg_core.ledger.settings import read_settings, settings_path

if TYPE_CHECKING:
    import os

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.handover import Append, Handover
    from qimg_core.ledger.outside import OutsideMemory
    from qimg_core.ledger.settings import LedgerSettings, MemorySettings
    from qimg_core.plugins import Registry

log = logging.getLogger("qimg")


@frozen
class Memories:
    """The memories of one ledger, open. ``all`` are in the order of the settings."""

    settings: LedgerSettings
    all: tuple[OutsideMemory, ...]

    @property
    def governed(self) -> bool:
        """Whether a run must not end well without them."""
        return self.settings.mode == "governed"

    def to_json(self) -> dict[str, Any]:
        """For ``run.started``: mode, digest of the settings, names and kinds."""
        memories = [{"name": memory.name, "kind": memory.kind} for memory in self.all]
        return {"mode": self.settings.mode, "settings": self.settings.digest, "memories": memories}

    def keep(self, ledger: Ledger, append: Append) -> Handover:
        """Sign the head, hand it to every memory that lacks it, write down the answers.

        Raises:
            LedgerCorrupt: a memory proves that this log was rolled back or forked. In both modes.
            OutsideMemoryError: in governed mode, where a memory failed; in open mode that is a warning.
        """
        done = hand_over(ledger, self.all, append)
        error = done.error()
        if error is None:
            return done
        if self.governed or done.contradicted:
            raise error
        log.warning("%s; %s", error.message, error.hint)
        return done

    def close(self) -> None:
        """Close each of them; a failure to close is logged."""
        for memory in self.all:
            try:
                memory.close()
            except Exception:  # what is done is done
                log.exception("closing the memory %s failed", memory.name)


def memories_of(
    where: Ledger | str | os.PathLike[str] | None, registry: Registry, *, demand: bool = True
) -> Memories | None:
    """The memories that a ledger's settings name; None where it has no settings.

    Args:
        where: the ledger's folder or URI, or the open ledger, or None for a log in memory.
        registry: its plugins supply the components.
        demand: refuse governed settings that lack what governed mode demands.

    Raises:
        ConfigurationError: malformed settings, an unknown component, arguments that it does not take, or
            governed mode without an archive and a witness or time stamp. Nothing was sent or written.
        PluginError: a component cannot be used.
        StorageError: the settings cannot be read.
    """
    path = settings_path(_place(where))
    settings = None if path is None else read_settings(path)
    if settings is None:
        return None
    made = tuple(_made(settings, memory, registry) for memory in settings.memories)
    if demand and settings.mode == "governed":
        _demand(settings, made)
    return Memories(settings, made)


def _place(where: Ledger | str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Folder or URI; None for a ledger that lies in no folder."""
    from qimg_core.ledger.base import Ledger

    if isinstance(where, Ledger):
        folder: str | os.PathLike[str] | None = getattr(where, "folder", None)
        return folder
    return where


def _made(settings: LedgerSettings, memory: MemorySettings, registry: Registry) -> OutsideMemory:
    where = f"{settings.path}: [memory.{memory.name}]"
    cls = registry.load("outside", memory.use)
    takes = inspect.signature(cls)
    given: dict[str, Any] = {"name": memory.name, **memory.options}
    if "folder" in takes.parameters:
        given["folder"] = settings.path.absolute().parent
    try:
        takes.bind(**given)
    except TypeError as error:
        wanted = ", ".join(name for name in takes.parameters if name not in ("name", "folder"))
        raise ConfigurationError(f"{where}: {error}", hint=f"{memory.use} takes: {wanted}") from error
    try:
        made: OutsideMemory = cls(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from error
    return made


def _demand(settings: LedgerSettings, memories: tuple[OutsideMemory, ...]) -> None:
    kinds = {memory.kind for memory in memories}
    missing = []
    if "archive" not in kinds:
        missing.append("an archive")
    if not kinds & {"witness", "timestamp"}:
        missing.append("a witness quorum or a time stamp")
    if missing:
        have = ", ".join(sorted(kinds)) or "none"
        raise ConfigurationError(
            f"{settings.path}: governed mode demands {' and '.join(missing)}; configured: {have}",
            hint='add [memory.NAME] tables, or set mode = "open"',
        )
