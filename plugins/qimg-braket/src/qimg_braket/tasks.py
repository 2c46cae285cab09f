"""How one of our jobs becomes Braket's tasks, and what is written on them (imports qimg_core, no SDK).

A program set holds many programs for one task fee; its ``shots`` are the total and must divide evenly. Devices without
program sets get one task a program. Each task has a client token of its own, SHA-256 of the job's key and the task's
number, so that a crash between two creations still ends in one task each.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.measurement import measurement_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import JSON, Intent

RUN, KEY, PART, READ = "qimg-run", "qimg-key", "qimg-part", "qimg-read"
"""Names of our tags; `READ` is numbered, since a tag holds 256 characters."""
_TAG, _MOST_TAGS = 256, 40


@frozen
class ProgramSets:
    """What a device allows in ``braket.ir.openqasm.program_set``.

    Args:
        executables: most programs of a set.
        most_shots, least_shots: of all programs of a set together.
    """

    executables: int
    most_shots: int
    least_shots: int = 1

    @classmethod
    def of(cls, action: Mapping[str, Any]) -> ProgramSets | None:
        """From the device's ``action`` properties; None where it does not offer them."""
        found = action.get("braket.ir.openqasm.program_set")
        if not found:
            return None
        sizes = int(found["maximumExecutables"]), int(found["maximumTotalShots"])
        return None if min(sizes) < 1 else cls(*sizes, int(found.get("minimumTotalShots") or 1))


def sizes(programs: int, shots: int, sets: ProgramSets | None) -> tuple[int, ...] | None:
    """How many programs go into each set, as even as can be; None: one task a program, and no sets.

    Args:
        programs: of the whole job.
        shots: of each program.
        sets: what the device allows.
    """
    most = 0 if sets is None else min(sets.executables, sets.most_shots // shots)
    if sets is None or most < 2 or programs < 2:
        return None
    count = -(-programs // most)
    base, more = divmod(programs, count)
    out = tuple(base + (k < more) for k in range(count))
    return out if min(out) * shots >= sets.least_shots else None


@frozen
class Task:
    """One task to create.

    Args:
        action: JSON text.
        shots: as Braket counts them: of the whole task.
        programs: how many programs.
    """

    action: str
    shots: int
    programs: int


def tasks_of(texts: Sequence[str], shots: int, sets: ProgramSets | None) -> tuple[Task, ...]:
    """The tasks of a job, in order.

    Args:
        texts: OpenQASM, one a row and setting, settings running fastest.
        shots: of each.
        sets: what the device allows.
    """
    chosen = sizes(len(texts), shots, sets)
    if chosen is None:
        return tuple(Task(_json(_program(text)), shots, 1) for text in texts)
    out, at = [], 0
    for size in chosen:
        header = {"name": "braket.ir.openqasm.program_set", "version": "1"}
        programs = [_program(text) for text in texts[at : at + size]]
        out.append(Task(_json({"braketSchemaHeader": header, "programs": programs}), shots * size, size))
        at += size
    return tuple(out)


def token(key: str, index: int) -> str:
    """The client token of a job's task: 64 hex digits, as many as Braket takes."""
    return hashlib.sha256(f"{key}/{index}".encode()).hexdigest()


def reading(
    request: ExecutionRequest, tasks: Sequence[Task], device: str, region: str, program: str
) -> dict[str, JSON]:
    """What another process needs to read the results: `JobHandle.extra`."""
    return {
        "device": device,
        "region": region,
        "measurement": measurement_to_json(request.measurement),
        "rows": request.rows,
        "wires": request.circuit.n_wires,
        "shots": request.shots,
        "programs": [t.programs for t in tasks],
        "program": program,
    }


def tags(intent: Intent, index: int, count: int, extra: Mapping[str, JSON]) -> dict[str, str]:
    """Tags of one task: run, key, its number, and what is needed to read it if its creator is gone.

    The last is left out where it would not fit; then only a resumed run can adopt the job.
    """
    out = {RUN: intent.run, KEY: intent.key, PART: f"{index}/{count}"}
    packed = base64.urlsafe_b64encode(zlib.compress(_json(dict(extra)).encode(), 9)).decode()
    parts = [packed[at : at + _TAG] for at in range(0, len(packed), _TAG)]
    if len(parts) <= _MOST_TAGS:
        out |= {f"{READ}-{k:02d}": part for k, part in enumerate(parts)}
    return out


def read_tags(found: Mapping[str, str]) -> tuple[int, int, dict[str, Any] | None]:
    """(number of the task, how many there are, `reading` or None) from a task's tags.

    Raises:
        ConfigurationError: tags with our names that are not ours.
    """
    try:
        index, count = (int(n) for n in found[PART].split("/"))
        packed = "".join(found[name] for name in sorted(found) if name.startswith(f"{READ}-"))
        extra = json.loads(zlib.decompress(base64.urlsafe_b64decode(packed))) if packed else None
    except (KeyError, ValueError, zlib.error) as cause:
        raise ConfigurationError(f"a task's tags {RUN}, {KEY}, {PART} cannot be read") from cause
    return index, count, extra


def moment(text: str) -> dt.datetime | None:
    """An ISO 8601 time with its zone, UTC where it has none; None where the text is no time."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _program(text: str) -> dict[str, Any]:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return {"braketSchemaHeader": header, "source": text, "inputs": {}}


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), sort_keys=True)
