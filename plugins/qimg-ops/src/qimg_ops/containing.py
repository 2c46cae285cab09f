"""Containing an incident: blocks, rollbacks, and what was affected (imports incidents, qimg_rollout, tracing)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.trace_graph import NodeKind
from qimg_core.tracing import starting_point, trace
from qimg_ops.incidents import AFFECTED, CONTAINED, find
from qimg_rollout import blocks
from qimg_rollout.state import in_use, roll_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

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
    found = find(ledger, name, must_be_open=True)
    matches = [{"backend": b} for b in backends] + [{"weights": w} for w in weights]
    if not matches:
        raise ConfigurationError("nothing to contain", hint="--backend NAME or --weights DIGEST")
    held = {tuple(b.match.items()): b.entry for b in blocks.in_force(ledger)}
    made = []
    for match in matches:
        old = held.get(tuple(match.items()))
        by = f"incident {found.id}"
        made.append(blocks.block(ledger, match, reason=found.title, by=by).index if old is None else old)
    flags = in_use(ledger)
    back = []
    for flag in () if flags is None else flags.flags.flags.values():
        device = str(flag.on.get("backend", "simulator"))
        if any(device in (b, b.partition(":")[0]) or device.partition(":")[0] == b for b in backends):
            roll_back(ledger, flag.name, reason=f"incident {found.id}", by="operator")
            back.append(flag.name)
    facts = {
        "schema": "qimg.incident/1",
        "incident": found.id,
        "blocks": made,
        "matches": matches,
        "rolled_back": back,
    }
    entry = ledger.append(CONTAINED, facts=facts)
    devices = [f"device:{d}" for b in backends for d in _devices(ledger, b)]
    affected(ledger, name, [*dict.fromkeys(devices), *weights])
    return entry


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
    found = find(ledger, name)
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
        "incident": found.id,
        "starts": given,
        "unknown": unknown,
        "runs": sorted(runs)[:_SHOWN],
        "n_runs": len(runs),
        "n_images_entries": len(images),
        "artefacts": {"affected": ledger.put(text)},
    }
    return ledger.append(AFFECTED, facts=facts)
