"""Where drivers are made and closed, for one case (floor 8; imports backend, job)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.backend import Backend
    from qimg_core.job import Intent, JobHandle, RawResult


@frozen(eq=False)
class Done:
    """One job that is over."""

    intent: Intent
    handle: JobHandle
    raw: RawResult


@frozen(eq=False, slots=False)
class Site:
    """Where drivers are made, for one case.

    Args:
        make: a new driver, as another process would make it; closed when the case is over.
        server: the fake provider behind it, if there is one.
    """

    make: Callable[[], Backend]
    server: Any = None
    opened: list[Backend] = field(factory=list)

    @cached_property
    def driver(self) -> Backend:
        """The first driver of the case."""
        return self.another()

    def another(self) -> Backend:
        """One more driver of the same device."""
        made = self.make()
        self.opened.append(made)
        return made


def closed(drivers: list[Backend]) -> None:
    """Let go of all of them."""
    for driver in drivers:
        driver.close()
