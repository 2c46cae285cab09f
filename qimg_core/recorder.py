"""From executions to ledger entries (floor 5; imports execution, ledger, storage-free).

Work that was paid for, or left this process, is written at once. Free work in this process is
grouped: one ledger entry for at most 256 executions (or training steps), over an artefact with one
JSON line each, so that recording stays far below the cost of the work itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.execution import ExecutionRecord
    from qimg_core.job import JSON

GROUP = 256


@frozen
class Tally:
    """What a run has executed so far."""

    executions: int = 0
    rows: int = 0
    shots: int = 0
    kinds: frozenset[str] = frozenset()


class Recorder:
    """Collects one run's execution records and writes them in groups.

    Args:
        write: called with (facts) for each group; appends the entry.
        put: stores an artefact, returns its digest.
        light: keep counts only: no rows, no artefacts.
    """

    def __init__(self, write: Callable[[dict[str, JSON]], Any], put: Callable[[bytes], str], *, light: bool) -> None:
        self._write, self._put, self._light = write, put, light
        self._lines: list[dict[str, JSON]] = []
        self._open_step = 0
        self._steps = 0
        self.tally = Tally()

    def add(self, record: ExecutionRecord) -> None:
        """One execution is done."""
        t = self.tally
        shots = record.rows * (record.shots or 0)
        self.tally = Tally(t.executions + 1, t.rows + record.rows, t.shots + shots, t.kinds | {record.device_kind})
        if self._light:
            return
        self._lines.append(record.to_json())
        if len(self._lines) - self._open_step >= GROUP and self._steps == 0:
            self.flush()

    def step(self, step: int, metrics: dict[str, float]) -> None:
        """A training step is done: its executions and its numbers belong together."""
        if self._light:
            return
        texts: dict[str, JSON] = {k: repr(float(v)) for k, v in metrics.items()}
        if self._open_step == len(self._lines):  # a step without any circuit: the classical arms
            self._lines.append({"step": step, **texts})
        else:
            for line in self._lines[self._open_step :]:
                line["step"] = step
            self._lines[-1].update(texts)
        self._open_step = len(self._lines)
        self._steps += 1
        if self._steps >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected; nothing when there is nothing."""
        if not self._lines:
            return
        lines, steps = self._lines, self._steps
        self._lines, self._open_step, self._steps = [], 0, 0
        text = "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines)
        ordinals = [int(x["ordinal"]) for x in lines if "ordinal" in x]  # type: ignore[arg-type]
        facts: dict[str, JSON] = {
            "count": len(lines),
            "steps": steps,
            "first": min(ordinals, default=None),
            "last": max(ordinals, default=None),
            "circuits": sorted({str(x["circuit"]) for x in lines if "circuit" in x}),  # type: ignore[dict-item]
            "backends": sorted({str(x["ran_backend"]) for x in lines if "ran_backend" in x}),  # type: ignore[dict-item]
            "artefacts": {"rows": self._put(text.encode())},
        }
        self._write(facts)
