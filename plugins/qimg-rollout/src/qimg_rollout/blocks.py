"""Blocked routes: entries that every later plan of the ledger has to pass (imports qimg_core.admission).

A block names facts of a plan (backend, weights, provider, activity); a plan of which all of them are true is refused,
and a session goes on with the next device of its chain, or stops. It holds until it is released, by an entry as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.admission import Decision
from qimg_core.errors import ConfigurationError
from qimg_core.ledger.entry import DIGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qimg_core.admission import Asked, Context
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

BLOCKED, RELEASED = "routing.blocked", "routing.released"
FACTS = ("backend", "weights", "provider", "activity")
_CHANGED = [0]


@frozen(kw_only=True)
class Block:
    """A block in force: the entry that made it, what it matches, why, and by what it was asked for."""

    entry: int
    match: Mapping[str, str]
    reason: str
    by: str

    @property
    def words(self) -> str:
        return ", ".join(f"{k} {v}" for k, v in sorted(self.match.items()))


def changes() -> int:
    """How often this process has changed blocks."""
    return _CHANGED[0]


def check_match(match: Any) -> None:
    """Are these facts that a block may name?

    Raises:
        ConfigurationError: no fact, an unknown one, one without a value, or weights that are not named by their digest:
            a block of them would never refuse anything.
    """
    good = isinstance(match, dict) and match and not set(match) - set(FACTS)
    if not good or not all(type(v) is str and v for v in match.values()):
        raise ConfigurationError(f"a block names any of {', '.join(FACTS)}, got {match}")
    if "weights" in match and not DIGEST.fullmatch(match["weights"]):
        raise ConfigurationError(
            f"weights are blocked by their digest, sha256: and 64 hex digits, got {match['weights']!r}",
            hint="it is in images.made of what they made (qimg trace), and the SHA-256 of the file: sha256sum FILE",
        )


def block(ledger: Ledger, match: Mapping[str, str], *, reason: str, by: str) -> Entry:
    """Refuse every plan of which all these facts are true, from now on.

    Args:
        ledger: open for writing.
        match: any of `FACTS`; ``backend`` without a colon stands for all devices of that driver.
        reason: in words.
        by: ``rollout NAME``, ``incident ID`` or ``operator``.

    Raises:
        ConfigurationError: no fact, or an unknown one.
    """
    check_match(dict(match))
    if not reason.strip():
        raise ConfigurationError("a block has a reason")
    facts = {"schema": "qimg.block/1", "match": dict(match), "by": by}
    entry = ledger.append(BLOCKED, facts=facts, claims={"reason": reason})
    _CHANGED[0] += 1  # behind the entry: who sees the new number finds it
    return entry


def release(ledger: Ledger, entry: int, *, reason: str, by: str) -> Entry:
    """End a block.

    Raises:
        ConfigurationError: the entry is no block in force.
    """
    if entry not in {b.entry for b in in_force(ledger)}:
        raise ConfigurationError(f"entry {entry} is no block in force", hint="qimg rollout status")
    facts = {"schema": "qimg.block/1", "blocked": entry, "by": by}
    ended = ledger.append(RELEASED, facts=facts, claims={"reason": reason})
    _CHANGED[0] += 1
    return ended


def in_force(ledger: Ledger) -> tuple[Block, ...]:
    """The blocks that were not released, oldest first."""
    gone = {entry.facts["blocked"] for entry in ledger.entries(kind=RELEASED)}
    return tuple(
        Block(entry=e.index, match=e.facts["match"], reason=e.claims["reason"], by=e.facts["by"])
        for e in ledger.entries(kind=BLOCKED)
        if e.index not in gone
    )


def admit(context: Context) -> Decision | None:
    """Refuse what is blocked; abstain otherwise, and where no facts are handed over."""
    if context.asked is None:
        return None
    return _refusal(_hit(context.asked))


def screen(context: Context) -> Decision | None:
    """Withhold images of weights that are blocked, also where no circuit was asked for and `admit` never was."""
    if context.asked is None:
        return None
    return _refusal([b for b in _hit(context.asked) if "weights" in b.match])


def _hit(asked: Asked) -> list[Block]:
    return [b for b in in_force(asked.ledger()) if all(_is(asked.facts.get(k), k, v) for k, v in b.match.items())]


def _refusal(hit: Sequence[Block]) -> Decision | None:
    if not hit:
        return None
    elsewhere = all(set(b.match) & {"backend", "provider"} for b in hit)  # else another device is refused as well
    way = "name another device with --fallback; or, " if elsewhere else ""
    return Decision(
        verdict="deny",
        policy="routing blocks",
        reasons=tuple(f"{b.words} is blocked by entry {b.entry} ({b.by}): {b.reason}" for b in hit),
        hint=f"{way}when it is over: qimg rollout release {hit[0].entry}",
    )


def unseen(ledger: Ledger, matches: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The backends among what blocks name that no plan of the record was admitted for: misspelt, or not used yet."""
    wanted = dict.fromkeys(m["backend"] for m in matches if "backend" in m)
    used = {e.facts["backend"] for e in ledger.entries(kind="plan.admitted")} if wanted else set()
    return tuple(name for name in wanted if not any(_is(u, "backend", name) for u in used))


def _is(fact: object, name: str, wanted: str) -> bool:
    if name == "backend" and isinstance(fact, str) and ":" not in wanted:
        return fact.partition(":")[0] == wanted
    return fact == wanted
