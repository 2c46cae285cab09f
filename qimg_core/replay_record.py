"""What a replay showed, and its entry (floor 6; imports ledger and below; the session is given).

Verdicts are kept apart: `inconclusive` is neither a success nor a failure of reproduction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.session import Session
    from qimg_core.verdict import Verdict

COMPARED = "replay.compared"


@frozen(kw_only=True)
class Replay:
    """What a re-run showed.

    Args:
        verdict: pass (equal), fail, or inconclusive (nothing promises equality there).
        run: the run that was repeated.
        new_run: the run that repeated it; it has a record of its own.
        first_difference: where the two first differ, in words; None where they are equal.
        environment: packages and hardware that differ, in words.
        measured: numbers of the comparison, as strings.
        method: how the two were compared: "bytes", "samples of the weights", "paired permutation test", "requests".
    """

    verdict: Verdict
    run: str
    new_run: str
    first_difference: str | None
    environment: tuple[str, ...]
    measured: dict[str, str]
    method: str = "bytes"


def record_replay(
    session: Session,
    replay: Replay,
    *,
    product: str,
    entry: int | None,
    stated: dict[str, str] | None = None,
    artefacts: dict[str, str] | None = None,
) -> Replay:
    """Write ``replay.compared`` and return what was written.

    Args:
        session: the repetition's.
        replay: what it showed.
        product: "images", "weights" or "requests".
        entry: index of the entry of what was repeated.
        stated: what decided the verdict, as strings: alpha, effect.
        artefacts: names to digests of stored details.
    """
    facts: dict[str, Any] = {
        "schema": "qimg.replay/2",
        "of": replay.run,
        "entry": entry,
        "product": product,
        "method": replay.method,
        "verdict": replay.verdict.value,
        "first_difference": replay.first_difference,
        "environment": list(replay.environment),
        "measured": replay.measured,
        "stated": stated or {},
    }
    if artefacts:
        facts["artefacts"] = artefacts
    session.record(COMPARED, facts)
    return replay


def same_threads(recorded: int | None) -> None:
    """Use as many threads as the recorded run did: the order of a sum decides its last bit."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and recorded is not None and torch.get_num_threads() != recorded:
        torch.set_num_threads(recorded)


def environments(ledger: Ledger, a: Entry, b: Entry) -> tuple[str, ...]:
    """What of packages, hardware and code differs between two runs, by their first entries; in words."""
    was, now = (json.loads(ledger.get(e.facts["artefacts"]["environment"])) for e in (a, b))
    out = [f"{k}: {was[k]} -> {now[k]}" for k in ("python", "system", "machine", "cpu", "gpu") if was[k] != now[k]]
    for name in sorted(set(was["packages"]) | set(now["packages"])):
        pair = was["packages"].get(name), now["packages"].get(name)
        if pair[0] != pair[1]:
            out.append(f"{name}: {pair[0]} -> {pair[1]}")
    if (was["git"] or {}).get("commit") != (now["git"] or {}).get("commit"):
        out.append("the code: another git commit")
    return tuple(out)
