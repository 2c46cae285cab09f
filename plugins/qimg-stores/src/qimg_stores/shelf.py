"""`Shelf`: the few operations that an archive needs of a place that keeps things for good (imports attrs only).

What is put stays under its name and version. `S3Shelf` (`qimg_stores.object_lock`) and `FolderShelf`
(`qimg_stores.local_archive`) implement it; the archive itself (`qimg_stores.archive`) knows neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from qimg_core.ledger.base import Problem

Capability = Literal["worm", "not-worm", "unproven", "tamper-resistant"]
"""``worm``: every forbidden thing that was tried was refused. ``not-worm``: at least one was allowed. ``unproven``:
the credentials may not even do what is allowed, so that a refusal shows nothing. ``tamper-resistant``: the place
makes changing hard and cannot forbid it to its administrator."""

Outcome = Literal["refused", "ignored", "allowed", "untried"]


@frozen(kw_only=True)
class Version:
    """One version under a name. ``marker``: a delete marker, which hides the name and deletes nothing."""

    name: str
    version: str
    bytes: int
    newest: bool
    marker: bool = False


@frozen(kw_only=True)
class Lock:
    """What protects a version: ``COMPLIANCE``, ``GOVERNANCE``, ``immutable-flag``, ``mode-0444`` or ``none``.

    ``until`` is in UTC; None where the place knows no date.
    """

    mode: str
    until: datetime | None


@frozen(kw_only=True)
class Attempt:
    """One forbidden thing that was tried on a scratch object, and how it ended.

    ``ignored``: the place said yes and changed nothing. ``detail``: its answer in short.
    """

    name: str
    outcome: Outcome
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return {"name": self.name, "outcome": self.outcome, "detail": self.detail}


class Shelf(ABC):
    """A place that keeps things. Every method raises `OutsideMemoryError` where the place cannot be used."""

    where: str
    """The place in words, for people: no secret."""

    place: str
    """The same for the record: nothing personal such as a home folder."""

    modes: tuple[str, ...]
    """What `lock` says of a version that is kept as it should be, the strongest first."""

    dated: bool
    """Does it keep until a date?"""

    @abstractmethod
    def put(self, name: str, data: bytes, until: datetime) -> str:
        """Store a new version and return its id. Its answer is not to be trusted: read it back."""

    @abstractmethod
    def get(self, name: str, version: str) -> bytes | None:
        """The bytes of a version; None where there is none."""

    @abstractmethod
    def lock(self, name: str, version: str) -> Lock:
        """What protects a version now."""

    @abstractmethod
    def extend(self, name: str, version: str, until: datetime) -> None:
        """Keep a version longer, or protect it at all."""

    @abstractmethod
    def versions(self, prefix: str) -> Iterator[Version]:
        """Every version and delete marker whose name begins so, ordered by name."""

    @abstractmethod
    def troubles(self) -> tuple[Problem, ...]:
        """What is wrong with the place as a whole: versioning off, no lock."""

    @abstractmethod
    def attempts(self) -> tuple[Attempt, ...]:
        """Try on scratch objects what must be refused."""

    @abstractmethod
    def capability(self, attempts: tuple[Attempt, ...]) -> Capability:
        """What the attempts show."""

    def close(self) -> None:
        """Release connections; the default does nothing."""
