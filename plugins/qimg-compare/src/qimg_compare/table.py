"""`Table`: rows of text with a head, for terminal, Markdown and page alike (imports attrs)."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Table:
    """Head and rows of text; ``title`` says what it shows, ``note`` how to read it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
