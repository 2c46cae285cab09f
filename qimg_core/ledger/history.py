"""Which keys sign a log at which size (imports errors and note).

A log's key file ``log.vkeys`` holds its history, append-only. A log that never changed its keys has two lines::

    ORIGIN+ID+BASE64      Ed25519
    ORIGIN+ID+BASE64      ML-DSA-44
    from 1200             after a rotation: the hand-over head of size 1,200 bears four signatures
    ORIGIN+ID+BASE64
    ORIGIN+ID+BASE64
    revoked ID from 900   after a theft: what the retired Ed25519 key ID signed from this size on counts for nothing

Heads smaller than a hand-over are signed by the old pair, larger ones by the new, the hand-over itself by both.
The last entry under it, ``keys.rotated``, names both pairs: this is how the old keys vouch for the new, since a
note signature covers no other signature line.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.note import ED25519, MLDSA44, Checkpoint, VerifierKey, open_note, split_note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.entry import Entry

ROTATED = "keys.rotated"
REVOKED = "keys.revoked"
_FROM = re.compile(r"from ([1-9][0-9]{0,18})")
_REVOKED = re.compile(r"revoked ([0-9a-f]{8}) from (0|[1-9][0-9]{0,18})")

Pair = tuple[VerifierKey, VerifierKey]


@frozen
class KeyPeriod:
    """A pair of keys, Ed25519 then ML-DSA-44, and the heads that it signs.

    Args:
        keys: the pair.
        start: size of the hand-over head that it was the first to sign; 0 for the first pair.
        end: size of the hand-over head that it was the last to sign; None for the pair in force.
        revoked: from this size on its signatures count for nothing; None where they do.
    """

    keys: Pair
    start: int = 0
    end: int | None = None
    revoked: int | None = None

    def signs(self, size: int) -> bool:
        """Is it in force for a head of this size?"""
        return self.start <= size and (self.end is None or size <= self.end)


@frozen
class HeadCheck:
    """A signed head, opened with every key of a log's history.

    Args:
        checkpoint: what was signed.
        verified: algorithms of the right signatures by keys in force, in order.
        problem: what is wrong with who signed, or an empty string.
        revoked: only keys that were revoked before this size signed it: by itself it shows nothing.
    """

    checkpoint: Checkpoint
    verified: tuple[str, ...]
    problem: str = ""
    revoked: bool = False


@frozen
class KeyHistory:
    """Every pair of keys of a log, in order. Read with `parse`, or made of one pair with `of`."""

    text: str
    periods: tuple[KeyPeriod, ...] = field(eq=False)

    @classmethod
    def of(cls, keys: tuple[VerifierKey, ...] | KeyHistory) -> KeyHistory:
        """The history of a log that has had one pair of keys only; a history is given back as it is.

        Raises:
            LedgerCorrupt: not an Ed25519 and an ML-DSA-44 key of one name.
        """
        return keys if isinstance(keys, KeyHistory) else cls.parse("".join(f"{key}\n" for key in keys))

    @classmethod
    def parse(cls, text: str) -> KeyHistory:
        """Read a key file, strictly.

        Raises:
            LedgerCorrupt: a malformed key or line, keys of several names, sizes that do not grow, a key that comes
                back, a revocation of a key that is not retired.
        """
        lines = text.split("\n")
        if lines.pop() != "":
            raise LedgerCorrupt("the key file does not end in a newline")
        periods: list[KeyPeriod] = [KeyPeriod(_pair(lines[:2]))]
        at = 2
        while at < len(lines):
            if found := _FROM.fullmatch(lines[at]):
                periods = _rotated(periods, _pair(lines[at + 1 : at + 3]), int(found[1]))
                at += 3
            elif found := _REVOKED.fullmatch(lines[at]):
                periods = _revoked(periods, found[1], int(found[2]))
                at += 1
            else:
                raise LedgerCorrupt(f"not a line of a key file: {lines[at][:40]!r}")
        return cls(text, tuple(periods))

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.periods[0].keys[0].name

    @property
    def current(self) -> Pair:
        """The pair in force, Ed25519 then ML-DSA-44."""
        return self.periods[-1].keys

    def rotated(self, keys: Pair, size: int) -> KeyHistory:
        """With another pair in force from the hand-over head of ``size`` on. Raises as `parse` does."""
        return KeyHistory.parse(f"{self.text}from {size}\n" + "".join(f"{key}\n" for key in keys))

    def revoking(self, key_id: str, size: int) -> KeyHistory:
        """With a retired key (8 hex digits of the Ed25519 key's id) revoked from a size on. Raises as `parse` does."""
        return KeyHistory.parse(f"{self.text}revoked {key_id} from {size}\n")

    def at(self, size: int) -> tuple[KeyPeriod, ...]:
        """Who signs a head of this size: one pair, or at a hand-over the old and the new."""
        return tuple(period for period in self.periods if period.signs(size))

    def open_head(self, note: bytes) -> HeadCheck:
        """Verify a signed head: each key in force at its size must have signed, no retired or later one may have.

        Raises:
            LedgerCorrupt: not a checkpoint, a wrong signature by a key of the history, or none by any.
        """
        checkpoint = Checkpoint.parse(split_note(note)[0])
        opened = open_note(note, tuple(key for period in self.periods for key in period.keys))
        in_force = self.at(checkpoint.size)
        wanted = [key for period in in_force for key in period.keys]
        missing = [key for key in wanted if key not in opened.keys]
        problem = self._problem(checkpoint.size, missing, {*opened.keys} - {*wanted})
        good = [p for p in in_force if p.revoked is None or checkpoint.size < p.revoked]
        verified = tuple(key.algorithm for key in wanted if key in opened.keys)
        return HeadCheck(checkpoint, verified, problem, revoked=not good)

    def _problem(self, size: int, missing: list[VerifierKey], foreign: set[VerifierKey]) -> str:
        for period in self.periods:
            if foreign & {*period.keys}:
                first, last = period.start, period.end
                retired = last is not None and size > last
                when = f"is retired since size {last}" if retired else f"is in force from size {first} on"
                return f"signed with a key that {when}: {period.keys[0].id.hex()}"
        if not missing:
            return ""
        names = sorted({key.algorithm for key in missing})
        both = len(self.at(size)) > 1
        return f"no signature by {' and '.join(names)}" + (" of both pairs of the hand-over" if both else "")


def rotation_facts(old: Pair, new: Pair, size: int) -> dict[str, Any]:
    """Facts of a ``keys.rotated`` entry; it is the last one under the hand-over head of ``size``."""
    return {"old": [str(key) for key in old], "new": [str(key) for key in new], "size": size}


def revocation_facts(keys: Pair, size: int) -> dict[str, Any]:
    """Facts of a ``keys.revoked`` entry."""
    return {"keys": [str(key) for key in keys], "from": size}


def compare_entries(
    history: KeyHistory, rotations: Iterable[Entry], revocations: Iterable[Entry], size: int
) -> tuple[list[tuple[str, str, int | None]], list[str]]:
    """Does the log say of its keys what its key file says?

    Args:
        history: the key file.
        rotations: entries ``keys.rotated``, in order.
        revocations: entries ``keys.revoked``, in order.
        size: of the newest signed head.

    Returns:
        problems (where, what, entry or None), and notes.
    """
    problems: list[tuple[str, str, int | None]] = []
    notes: list[str] = []
    told = {new.start: rotation_facts(old.keys, new.keys, new.start) for old, new in pairwise(history.periods)}
    for entry in rotations:
        facts = told.get(entry.index + 1)
        if facts is not None and facts == entry.facts:
            del told[entry.index + 1]
        elif entry.index + 1 >= size:
            notes.append(f"entry {entry.index} begins a change of keys that was not ended: open the ledger to write")
        else:
            problems.append((f"entry {entry.index}", "hands over to keys that the key file does not hold", entry.index))
    problems += [("keys", f"no entry hands over to the keys in force from size {start}", None) for start in told]
    said = [entry.facts for entry in revocations]
    for period in history.periods:
        if period.revoked is not None and revocation_facts(period.keys, period.revoked) not in said:
            problems.append(("keys", f"no entry says that the key {period.keys[0].id.hex()} was revoked", None))
    return problems, notes


def _pair(lines: list[str]) -> Pair:
    keys = [VerifierKey.parse(line) for line in lines]
    if [key.kind for key in keys] != [ED25519, MLDSA44] or len({key.name for key in keys}) != 1:
        raise LedgerCorrupt("a key file holds pairs of an Ed25519 and an ML-DSA-44 key of one name")
    return keys[0], keys[1]


def _rotated(periods: list[KeyPeriod], keys: Pair, size: int) -> list[KeyPeriod]:
    last = periods[-1]
    if size <= last.start:
        raise LedgerCorrupt(f"the key file has a hand-over at {size} after one at {last.start}")
    if keys[0].name != last.keys[0].name:
        raise LedgerCorrupt(f"the key file has keys of {last.keys[0].name} and of {keys[0].name}")
    if {*keys} & {key for period in periods for key in period.keys}:
        raise LedgerCorrupt("the key file has a key twice: a retired key does not come back")
    return [*periods[:-1], evolve(last, end=size), KeyPeriod(keys, size)]


def _revoked(periods: list[KeyPeriod], key_id: str, size: int) -> list[KeyPeriod]:
    for i, period in enumerate(periods):
        if period.keys[0].id.hex() != key_id:
            continue
        if period.end is None:
            raise LedgerCorrupt(f"the key file revokes the key in force, {key_id}: it is retired first")
        if not period.start <= size <= period.end or (period.revoked is not None and size >= period.revoked):
            signed = f"{period.start} to {period.end}"
            raise LedgerCorrupt(f"the key file revokes {key_id} from {size}, which signed the sizes {signed}")
        return [*periods[:i], evolve(period, revoked=size), *periods[i + 1 :]]
    raise LedgerCorrupt(f"the key file revokes an unknown key, {key_id}")
