"""`RunLog`: one run's own part of the ledger (floor 5; imports ledger, recorder, environment, plugins).

Opens the ledger when it is first needed, writes ``run.started`` before anything else of the run, keeps
free work in groups, ends with ``run.finished`` and a signed checkpoint.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.environment import environment
from qimg_core.ledger.base import Ledger
from qimg_core.ledger.entry import Draft, Gap
from qimg_core.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qimg_core.job import JSON
    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.memories import Memories
    from qimg_core.plugins import Registry

log = logging.getLogger("qimg")


class RunLog:
    """Writes one run.

    Args:
        given: an open ledger, a folder or URI, or None for a log in memory.
        run: the run id.
        registry: its plugins may open ledgers and watch entries.
        light: keep run-level entries only.
        opening: gives facts, claims and gaps of ``run.started``; asked once, at the first entry.
        again: the run is resumed: it begins with ``run.resumed``.
        owned: whether closing the run closes the ledger; None where that follows from ``given``.
        outside: the ledger's outside memories, which are handed its head when the run ends, and closed.
    """

    def __init__(
        self,
        given: Ledger | str | Path | None,
        run: str,
        registry: Registry,
        *,
        light: bool,
        opening: Callable[[], tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]],
        again: bool = False,
        owned: bool | None = None,
        outside: Memories | None = None,
    ) -> None:
        self.run, self.registry, self.outside = run, registry, outside
        self._given, self._opening, self._again = given, opening, again
        self._owned = isinstance(given, (str, Path)) if owned is None else owned
        self._ledger = given if isinstance(given, Ledger) else None
        self.recorder = Recorder(lambda facts: self.record("executions", facts), self.put, light=light)
        self.started = self.closed = False
        self.status = "ok"

    @property
    def ledger(self) -> Ledger:
        """The log itself."""
        if self._ledger is None:
            from qimg_core.ledger.opening import open_ledger

            assert not isinstance(self._given, Ledger)
            self._ledger = open_ledger(self._given, self.registry)
        return self._ledger

    def put(self, data: bytes) -> str:
        """Store an artefact; returns its digest."""
        return self.ledger.put(data)

    def record(
        self,
        kind: str,
        facts: Mapping[str, Any],
        *,
        claims: Mapping[str, Any] | None = None,
        gaps: Sequence[tuple[str, str]] = (),
    ) -> Entry:
        """Append an entry; durable on return."""
        self.start()
        missing = [Gap(field, reason) for field, reason in gaps]
        entry = self.ledger.append(kind, run=self.run, facts=facts, claims=claims or {}, gaps=missing)
        self._show(entry)
        return entry

    def record_many(self, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Append several entries in one commit; durable on return."""
        self.start()
        for entry in self.ledger.extend([Draft(kind, run=self.run, facts=facts) for kind, facts in entries]):
            self._show(entry)

    def _show(self, entry: Entry) -> None:
        for impl in self.registry.hooks.hook.qimg_entry_appended.get_hookimpls():
            try:
                impl.function(*[entry for _ in impl.argnames])  # a hook may leave the argument out
            except Exception:  # a watcher never blocks the record; its failure is logged
                log.exception("qimg_entry_appended of %s failed", impl.plugin_name)

    def start(self) -> None:
        """Write ``run.started`` if that has not been done."""
        if self.started:
            return
        self.started = True
        facts, claims, gaps = self._opening()
        state: dict[str, JSON] = environment()
        git = state["git"]
        text = json.dumps(state, sort_keys=True, separators=(",", ":")).encode()
        if git is None:
            gaps = [*gaps, ("git", "qimg_core does not run from a git checkout")]
        try:
            artefacts = {**facts.get("artefacts", {}), "environment": self.put(text)}
            facts = {**facts, "git": git, "artefacts": artefacts}
            if self.outside is not None:
                facts["outside"] = self.outside.to_json()
            self.record("run.resumed" if self._again else "run.started", facts, claims=claims, gaps=gaps)
        except BaseException:
            self.started = False
            raise

    def close(self, status: str | None, error: str | None) -> None:
        """Flush, write the last entry, sign a checkpoint, have it kept outside; nothing where nothing was done.

        Raises:
            OutsideMemoryError, LedgerCorrupt: see `qimg_core.ledger.memories.Memories.keep`; the run is recorded.
        """
        if self.closed:
            return
        self.closed = True
        try:
            if self.started:
                self.recorder.flush()
                t = self.recorder.tally
                facts = {
                    "status": status or self.status,
                    "error": error,
                    "executions": t.executions,
                    "rows": t.rows,
                    "shots": t.shots,
                    "device_kinds": sorted(t.kinds),
                }
                self.record("run.finished", facts)
                self.ledger.checkpoint()
                if self.outside is not None:
                    self.outside.keep(self.ledger, self._append)
        finally:
            if self.outside is not None:
                self.outside.close()
            if self._ledger is not None and self._owned:
                self._ledger.close()

    def _append(self, kind: str, facts: Mapping[str, Any]) -> None:
        """An entry that belongs to the log and to no run."""
        self._show(self.ledger.append(kind, facts=facts))
