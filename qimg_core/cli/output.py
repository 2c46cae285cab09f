"""What commands print: one JSON document, or lines of text (imports click).

Results go to stdout; progress, warnings and errors to stderr.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import error_document
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def emit(document: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print a result: the document where ``--json`` was given, else the lines."""
    from qimg_core.cli.app import App

    if click.get_current_context().ensure_object(App).json:
        print_json(document)
        return
    for line in lines:
        click.echo(line)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout; paths and enumerations as strings, no NaN."""
    click.echo(json.dumps(_plain(document), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value)


def print_error(error: BaseException, *, as_json: bool) -> None:
    """An error: a document on stdout where JSON was asked for, and always words on stderr."""
    document = error_document(error)
    if as_json:
        print_json({"error": document})
    head = click.style("error:", fg="red", bold=True)
    click.echo(f"{head} {document['message']}", err=True)
    for line in [document["hint"], *document["notes"]]:
        if line:
            click.echo(f"  {line}", err=True)


def say(line: str) -> None:
    """A line for people, on stderr."""
    click.echo(line, err=True)


def fields(pairs: Iterable[tuple[str, str]], *, indent: int = 2) -> list[str]:
    """``name   value`` lines in two columns; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    return [f"{' ' * indent}{name.ljust(width)}  {value}" for name, value in shown]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Left-aligned columns under a head; never cut, so that it can be piped."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [click.style(lines[0], bold=True), *lines[1:]]


def coloured(verdict: Verdict) -> str:
    """The verdict's word, in its colour on a terminal."""
    return click.style(verdict.value, fg=_COLOURS.get(verdict), bold=True)


def short(digest: str) -> str:
    """The first 12 hex digits of a digest, for people."""
    return digest[:19] + "..." if len(digest) > 22 else digest
