"""The settings of a ledger: ``ledger.toml`` in its folder (imports errors, storage).

::

    mode = "governed"            # or "open", the default

    [memory.witnesses]           # a name of your own
    use = "witness"              # a component of a plugin: qimg plugin list --kind outside
    policy = "witnesses.txt"     # the rest is the component's own

    [memory.tsa]
    use = "timestamp"
    url = "https://tsa.example/"
    roots = "tsa-roots.pem"

In *governed* mode an archive and a witness quorum or a time stamp are demanded, and a run ends with an error
where one of its memories did not keep its head. In *open* mode memories are optional and a failure is a warning.
A ledger that lies in no folder takes its settings from the file that ``QIMG_LEDGER_SETTINGS`` names.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.storage import sha256_digest, storage_error

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "ledger.toml"
VARIABLE = "QIMG_LEDGER_SETTINGS"
Mode = Literal["open", "governed"]
_MEMORY = re.compile(r"[a-z][a-z0-9-]{0,31}")


@frozen(kw_only=True)
class MemorySettings:
    """One outside memory.

    Args:
        name: of the user's own choice; receipts bear it.
        use: name of the component.
        options: its keyword arguments.
    """

    name: str
    use: str
    options: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class LedgerSettings:
    """What a ledger demands.

    Args:
        path: the file.
        mode: governed or open.
        memories: in the order of the file.
        digest: of the file's bytes, for the record.
    """

    path: Path
    mode: Mode
    memories: tuple[MemorySettings, ...]
    digest: str


def settings_path(where: str | os.PathLike[str] | None) -> Path | None:
    """The file with the settings of a ledger; None where there can be none.

    Args:
        where: the ledger's folder or URI; None for a log in memory.
    """
    if where is None:
        return None
    if "://" in str(where):
        named = os.environ.get(VARIABLE)
        return Path(named) if named else None
    return Path(where) / NAME


def read_settings(path: Path) -> LedgerSettings | None:
    """Read a file of settings; None where there is none.

    Raises:
        ConfigurationError: malformed, or settings that do not exist.
        StorageError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise storage_error(error, "read", path) from error
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    for name in document:
        if name not in ("mode", "memory"):
            raise UnknownName(f"setting in {path}", name, ["mode", "memory"])
    mode, tables = document.get("mode", "open"), document.get("memory", {})
    if mode not in ("open", "governed"):
        raise ConfigurationError(f"{path}: mode: wanted 'open' or 'governed', got {mode!r}")
    if not isinstance(tables, dict):
        raise ConfigurationError(f"{path}: memory: wanted tables [memory.NAME]")
    memories = tuple(_memory(path, name, table) for name, table in tables.items())
    return LedgerSettings(path=path, mode=mode, memories=memories, digest=sha256_digest(data))


def _memory(path: Path, name: str, table: Any) -> MemorySettings:
    if not _MEMORY.fullmatch(name):
        raise ConfigurationError(f"{path}: {name!r} cannot name a memory: lower-case letters, digits and hyphens")
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        raise ConfigurationError(
            f'{path}: [memory.{name}] lacks use = "COMPONENT"', hint="see: qimg plugin list --kind outside"
        )
    if "name" in table or "folder" in table:
        raise ConfigurationError(f"{path}: [memory.{name}]: name and folder are given by the file itself")
    return MemorySettings(name=name, use=table["use"], options={k: v for k, v in table.items() if k != "use"})
