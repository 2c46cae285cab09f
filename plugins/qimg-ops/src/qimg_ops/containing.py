"""Containing an incident: blocks, rollbacks, and what was affected (imports incidents, qimg_rollout, tracing).

Where another process holds the ledger, `stop` leaves a stop beside it, which that process records and obeys at its next
request; `finish` adds what only the holder of the ledger can write, once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger.entry import Draft
from qimg_core.trace_graph import NodeKind
from qimg_core.tracing import starting_point, trace
from qimg_ops.incidents import AFFECTED, CONTAINED, find, incidents
from qimg_rollout import blocks
from qimg_rollout.state import BACK, in_use, roll_back
from qimg_rollout.stopping import HELD, propose, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_rollout.stops import Stop

_SHOWN = 1000


def contain(ledger: Ledger, name: str, *, backends: Sequence[str] = (), weights: Sequence[str] = ()) -> Entry:
    """Disable routes, roll back flags that lead there, and list what they touched.

    Sessions refuse these plans from now on and go on with the next device of their chain; flags serve their classical
    path.

    Args:
        ledger: open for writing.
        name: of the incident.
        backends: devices.
        weights: digests.

    Raises:
        ConfigurationError: nothing to contain, or the incident is closed.
    """
    finish(ledger)
    found = find(ledger, name, must_be_open=True)
    made, by = [], f"incident {found.id}"
    held = {tuple(b.match.items()): b.entry for b in blocks.in_force(ledger) if b.by == by}
    matches = _matches(backends, weights)
    for match in matches:
        old = held.get(tuple(match.items()))
        made.append(blocks.block(ledger, match, reason=found.title, by=by).index if old is None else old)
    back = _flags(ledger, backends)
    for flag in back:
        roll_back(ledger, flag, reason=by, by="operator")
    return _contained(ledger, found.id, made, matches, back)


def stop(ledger: Ledger, name: str, *, backends: Sequence[str] = (), weights: Sequence[str] = ()) -> Stop:
    """The stop that contains an incident, to be posted with `qimg_rollout.stops.post`; the ledger is only read.

    Raises:
        ConfigurationError: nothing to contain, or the incident is closed.
    """
    found = find(ledger, name, must_be_open=True)
    matches, flags = _matches(backends, weights), _flags(ledger, backends)
    return propose(ledger, matches=matches, flags=flags, reason=found.title, by=f"incident {found.id}")


def finish(ledger: Ledger) -> tuple[Entry, ...]:
    """Record the stops that wait; for each of an incident add once that it contains it, and what it touched.

    What is added is under a signed head on return.

    Args:
        ledger: open for writing.
    """
    record(ledger)
    done = []
    for found in incidents(ledger):  # recorded just now, also their openings
        told = {s for e in found.of(CONTAINED) for s in e.facts.get("stops", ())}
        new = [e for e in found.stops if e.facts["stop"] not in told and e.kind in (blocks.BLOCKED, HELD, BACK)]
        if not new:
            continue
        made = [e for e in new if e.kind != BACK]
        flags = [str(e.facts["flag"]) for e in new if e.kind == BACK]
        stops = list(dict.fromkeys(e.facts["stop"] for e in new))
        matches = [dict(e.facts["match"]) for e in made]
        blocked = [int(e.facts.get("blocked", e.index)) for e in made]
        done.append(_contained(ledger, found.id, blocked, matches, flags, stops))
    if done:
        ledger.checkpoint()
    return tuple(done)


def _matches(backends: Sequence[str], weights: Sequence[str]) -> list[dict[str, str]]:
    matches = [{"backend": b} for b in backends] + [{"weights": w} for w in weights]
    if not matches:
        raise ConfigurationError("nothing to contain", hint="--backend NAME or --weights DIGEST")
    return matches


def _flags(ledger: Ledger, backends: Sequence[str]) -> list[str]:
    """The flags whose quantum path runs on one of these devices."""
    used = in_use(ledger)
    found = []
    for flag in () if used is None else used.flags.flags.values():
        device = str(flag.on.get("backend", "simulator"))
        if any(device in (b, b.partition(":")[0]) or device.partition(":")[0] == b for b in backends):
            found.append(flag.name)
    return found


def _contained(
    ledger: Ledger,
    incident: str,
    made: Sequence[int],
    matches: Sequence[dict[str, str]],
    back: Sequence[str],
    stops: Sequence[str] = (),
) -> Entry:
    facts = {
        "schema": "qimg.incident/1",
        "incident": incident,
        "blocks": list(made),
        "matches": list(matches),
        "rolled_back": list(back),
        **({"stops": list(stops)} if stops else {}),
    }
    devices = [f"device:{d}" for m in matches if "backend" in m for d in _devices(ledger, m["backend"])]
    starts = [*dict.fromkeys(devices), *(m["weights"] for m in matches if "weights" in m)]
    # one commit: a kill between the two would leave a containment whose list nobody makes any more
    return ledger.extend([Draft(CONTAINED, facts=facts), _listed(ledger, incident, starts)])[0]


def _devices(ledger: Ledger, backend: str) -> list[str]:
    """The device itself; of a driver's bare name, all its devices that a plan was admitted for."""
    if ":" in backend:
        return [backend]
    used = {str(e.facts["backend"]) for e in ledger.entries(kind="plan.admitted")}
    return sorted({d for d in used if d.partition(":")[0] == backend} | {backend})


def affected(ledger: Ledger, name: str, starts: Iterable[str]) -> Entry:
    """List the runs and images that came of some things, by following the record forward.

    Args:
        ledger: open for writing.
        name: of the incident.
        starts: what `qimg_core.tracing.starting_point` takes: a device, a digest, an entry.

    Raises:
        ConfigurationError: no such incident. What the ledger does not know touched nothing, and is listed as unknown.
    """
    record(ledger)
    return ledger.extend([_listed(ledger, find(ledger, name).id, starts)])[0]


def _listed(ledger: Ledger, incident: str, starts: Iterable[str]) -> Draft:
    runs: dict[str, None] = {}
    images: dict[int, None] = {}
    unknown: list[str] = []
    given = list(starts)
    for start in given:
        try:
            graph = trace(ledger, starting_point(ledger, start), back=False, forward=True)
        except (ConfigurationError, LedgerError):
            unknown.append(start)
            continue
        runs.update(dict.fromkeys(n.id.partition(":")[2] for n in graph.of_kind(NodeKind.RUN)))
        for node in graph.of_kind(NodeKind.IMAGES):
            images[int(node.id.partition(":")[2])] = None
            if node.run is not None:
                runs[node.run] = None
    text = json.dumps({"runs": sorted(runs), "images": sorted(images)}, separators=(",", ":")).encode()
    facts = {
        "schema": "qimg.incident/1",
        "incident": incident,
        "starts": given,
        "unknown": unknown,
        "runs": sorted(runs)[:_SHOWN],
        "n_runs": len(runs),
        "n_images_entries": len(images),
        "artefacts": {"affected": ledger.put(text)},
    }
    return Draft(AFFECTED, facts=facts)
