"""Drafts on their way into one commit (imports errors, entry)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qimg_core.ledger.entry import Entry, Prepared


class Batch:
    """Gives drafts their places, one after the other, and each retry key one entry.

    Args:
        start: index of the first new entry.
        time: of all new entries.
        keyed: looks a retry key up in the log.
    """

    def __init__(self, start: int, time: str, keyed: Callable[[str], Entry | None]) -> None:
        self.new: list[Entry] = []
        self._start, self._time, self._keyed = start, time, keyed
        self._by_key: dict[str, Entry] = {}

    def add(self, drafts: Sequence[Prepared]) -> tuple[Entry, ...]:
        """The entries of one caller's drafts, those of them that are new at the end of `new`; all or none.

        Raises:
            ConfigurationError: one is too long, or has the retry key of an entry with another content.
        """
        placed: list[Entry] = []
        new: list[Entry] = []
        by_key: dict[str, Entry] = {}
        for draft in drafts:
            key = draft.draft.key
            entry = None if key is None else by_key.get(key) or self._by_key.get(key) or self._keyed(key)
            if entry is None:
                entry = draft.at(self._start + len(self.new) + len(new), self._time)
                new.append(entry)
                if key is not None:
                    by_key[key] = entry
            elif not draft.gave(entry):
                raise ConfigurationError(
                    f"the retry key {key!r} is that of entry {entry.index}, which says something else",
                    hint="a retry repeats the draft exactly; give a new entry a new key",
                )
            placed.append(entry)
        self.new += new
        self._by_key |= by_key
        return tuple(placed)
