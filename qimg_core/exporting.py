"""Exports of runs to other formats, found by entry point (floor 8; imports tracing).

A distribution adds a format with an entry point of the group ``qimg.exporters``: a function ``(ledger, graph, out)``
that writes what the graph holds, and nothing else, and returns an `Exported`. The core's own format is the bundle.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, PluginLoadError, UnknownName
from qimg_core.tracing import trace_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger

GROUP = "qimg.exporters"
BUNDLE = "bundle"


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Exported:
    """What an exporter wrote.

    Args:
        out: the file, folder or store.
        items: what is in it: statements, elements, runs, in words.
        notes: what a reader should know, e.g. what the format has no place for.
    """

    out: str
    items: str
    notes: tuple[str, ...] = field(default=(), converter=_strings)


def formats() -> tuple[str, ...]:
    """Names of the formats that are installed, the bundle first."""
    return (BUNDLE, *sorted({point.name for point in entry_points(group=GROUP)}))


def export_runs(ledger: Ledger, name: str, runs: Iterable[str], out: str) -> Exported:
    """Write runs in a format other than the bundle.

    Args:
        ledger: open for writing where the format is signed by the log.
        name: of the format.
        runs: their ids, at least one.
        out: a path, or what the format takes instead.

    Raises:
        UnknownName: no such format.
        PluginLoadError: its code cannot be imported.
        ConfigurationError: no runs.
    """
    chosen = tuple(dict.fromkeys(runs))
    if not chosen:
        raise ConfigurationError("the ledger holds no run to export", hint="qimg ledger log")
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        hint = "pip install qimg-audit" if not points else ""
        raise UnknownName("export format", name, formats(), hint=hint)
    try:
        write = points[name].load()
    except Exception as error:  # another distribution's code: whatever its import raises
        raise PluginLoadError(
            f"the export format {name!r} ({points[name].value}) failed to import: {error!r}"
        ) from error
    done: Exported = write(ledger, trace_runs(ledger, chosen), out)
    return done
