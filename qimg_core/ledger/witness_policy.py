"""Which witnesses must have cosigned a head: the policy file of C2SP tlog-policy (imports errors, note, cosignature).

::

    witness w1 <vkey> https://witness.example/
    witness w2 <vkey> https://other.example/
    witness w3 <vkey> https://third.example/
    group two-of-three 2 w1 w2 w3
    quorum two-of-three

Octets above 0x7f are opaque: they survive in names as surrogates and two names are equal when their octets are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt, QimgError
from qimg_core.ledger.cosignature import LOG_KINDS, WITNESS_KINDS, parse_vkey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from qimg_core.ledger.note import VerifierKey

NONE = "none"
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@frozen
class KnownLog:
    """A log that the policy accepts; ``url`` means what the application says."""

    key: VerifierKey
    url: str | None = None


@frozen
class Witness:
    """A witness under its name in the policy; ``url`` is its submission prefix, None where nobody asks it."""

    name: str
    key: VerifierKey
    url: str | None = None


@frozen
class Group:
    """At least ``need`` of the members, which are witnesses or earlier groups."""

    name: str
    need: int
    members: tuple[str, ...]


@frozen(kw_only=True)
class Policy:
    """A parsed policy.

    Args:
        logs: accepted logs; empty where that is known from elsewhere.
        witnesses, groups: by name.
        quorum: name of the witness or group that must have cosigned; ``"none"`` demands nobody.
    """

    logs: tuple[KnownLog, ...] = ()
    witnesses: Mapping[str, Witness] = field(factory=dict)
    groups: Mapping[str, Group] = field(factory=dict)
    quorum: str = NONE

    def satisfied(self, cosigned: Collection[str]) -> bool:
        """Do these witnesses, by their names in the policy, make the quorum?"""
        return self.quorum == NONE or self._witnessed(self.quorum, cosigned)

    def _witnessed(self, name: str, cosigned: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._witnessed(member, cosigned) for member in group.members) >= group.need

    @property
    def wanted(self) -> str:
        """The quorum in words, e.g. ``2 of (w1, w2, w3)``."""
        return self._words(self.quorum)

    def _words(self, name: str) -> str:
        group = self.groups.get(name)
        if group is None:
            return name
        return f"{group.need} of ({', '.join(self._words(member) for member in group.members)})"


def parse_policy(data: bytes, where: str = "the policy") -> Policy:
    """Read a policy file, strictly.

    Args:
        data: its octets. The last line needs its newline: a file that was cut off could ask for less.
        where: its name, for errors.

    Raises:
        ConfigurationError: against the specification; names the line.
    """
    if found := _FORBIDDEN.search(data):
        raise ConfigurationError(f"{where}: the octet 0x{found[0][0]:02x} is not allowed")
    if data and not data.endswith(b"\n"):
        raise ConfigurationError(f"{where}: the last line has no newline: was the file cut off?")
    reader = _Reader()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = re.findall(r"[^ \t]+", line)
        if words and not words[0].startswith("#"):
            try:
                reader.read(words)
            except QimgError as error:
                raise ConfigurationError(f"{where}, line {number}: {error.message}") from error
    if reader.quorum is None:
        raise ConfigurationError(f"{where}: no quorum line", hint=f"`quorum {NONE}` demands no witness")
    return Policy(logs=tuple(reader.logs), witnesses=reader.witnesses, groups=reader.groups, quorum=reader.quorum)


class _Reader:
    """What was defined on the lines so far."""

    def __init__(self) -> None:
        self.logs: list[KnownLog] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def read(self, words: list[str]) -> None:
        kind, *rest = words
        if kind == "log" and len(rest) in (1, 2):
            key = _key(rest[0], LOG_KINDS, "log", {log.key.public for log in self.logs})
            self.logs.append(KnownLog(key, *rest[1:]))
        elif kind == "witness" and len(rest) in (2, 3):
            self._define(rest[0])
            known = {witness.key.public for witness in self.witnesses.values()}
            self.witnesses[rest[0]] = Witness(rest[0], _key(rest[1], WITNESS_KINDS, "witness", known), *rest[2:])
        elif kind == "group" and len(rest) >= 3:
            self._group(rest[0], rest[1], rest[2:])
        elif kind == "quorum" and len(rest) == 1:
            if self.quorum is not None:
                raise ConfigurationError("a second quorum line")
            if rest[0] != NONE:
                self._defined(rest[0])
            self.quorum = rest[0]
        else:
            raise ConfigurationError(
                f"{' '.join(words)[:60]!r} is none of: log VKEY [URL], witness NAME VKEY [URL], "
                "group NAME all|any|NUMBER NAME..., quorum NAME"
            )

    def _group(self, name: str, need: str, members: list[str]) -> None:
        self._define(name)
        for member in members:
            self._defined(member)
            if member in self._members:
                raise ConfigurationError(f"{member!r} is a member already: each name counts in one group, once")
            self._members.add(member)
        count = {"all": len(members), "any": 1}.get(need) or (int(need) if _NUMBER.fullmatch(need) else 0)
        if not 1 <= count <= len(members):
            raise ConfigurationError(f"{need!r} of {len(members)} members: wanted all, any or a number from 1 on")
        self.groups[name] = Group(name, count, tuple(members))

    def _define(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ConfigurationError(f"the name {name!r} is taken already")

    def _defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ConfigurationError(f"no witness or group {name!r} on an earlier line")


def _key(text: str, kinds: Collection[int], what: str, known: Collection[bytes]) -> VerifierKey:
    try:
        key = parse_vkey(text)
    except LedgerCorrupt as error:
        raise ConfigurationError(error.message) from error
    if key.kind not in kinds:
        wanted = " or ".join(f"0x{kind:02x}" for kind in sorted(kinds))
        raise ConfigurationError(f"the key of {key.name} has type 0x{key.kind:02x}; a {what} signs with {wanted}")
    if key.public in known:
        raise ConfigurationError(f"the key of {key.name} stands on an earlier line already")
    return key
