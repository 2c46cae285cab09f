"""The file ``gate.toml`` (imports errors).

::

    ledger = "runs"                      # what is left out is not checked, except record and incidents
    late = 3600                          # seconds that an entry may wait for a signed head
    policies = ["policy"]                # folders of bundles, or names of shipped ones
    cards = ["MODEL.md"]
    sections = ["Measured", "Limits"]    # headings that every card has
    data = ["data/digits"]               # datasets with a manifest
    comparisons = ["digits"]             # names of plans
    accept = ["equivalent within margin", "quantum arm better"]
    canaries = ["quantum-path"]
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from attrs import fields as attrs_fields
from attrs import frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from pathlib import Path


@frozen(kw_only=True)
class GateSettings:
    """What the gate checks."""

    ledger: str = "runs"
    late: int = 3600
    policies: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    sections: tuple[str, ...] = ("Measured",)
    data: tuple[str, ...] = ()
    comparisons: tuple[str, ...] = ()
    accept: tuple[str, ...] = ("equivalent within margin", "quantum arm better")
    canaries: tuple[str, ...] = ()


def read_settings(path: Path) -> GateSettings:
    """The settings of a file.

    Raises:
        ConfigurationError: no TOML, or a value of another type.
        UnknownName: a key that the gate does not know; a misspelt check would be one that is never made.
        StorageError: it cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: no TOML: {error}") from error
    known = {f.name: f.default for f in attrs_fields(GateSettings)}
    given: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            raise UnknownName("setting of the gate", name, known)
        kind = type(known[name])
        if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
            given[name] = tuple(value)
        elif type(value) is kind:
            given[name] = value
        else:
            raise ConfigurationError(f"{path}: {name}: wanted {'a list of texts' if kind is tuple else kind.__name__}")
    return GateSettings(**given)
