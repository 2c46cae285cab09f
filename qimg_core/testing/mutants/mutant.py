"""`Mutant`: a device with one known fault, and the case that has to find it (floor 8; imports conformance options)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.testing.conformance.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.backend import Backend
    from qimg_core.testing.conformance.report import Report


@frozen(kw_only=True)
class Mutant:
    """A faulty device.

    Args:
        name: of the fault, in a few words.
        make: the driver; None where ``options.server`` makes it.
        caught_by: the case that has to fail; others may fail too.
        options: of the kit, for this device.
    """

    name: str
    make: Callable[[], Backend] | None
    caught_by: str
    options: Options = field(factory=Options)

    def examine(self, *, cases: tuple[str, ...] | None = None, quick: bool = True) -> Report:
        """The kit on this device.

        Args:
            cases: only these; None for all.
            quick: as `Options.quick`.
        """
        from attrs import evolve

        from qimg_core.testing.conformance.kit import backend

        return backend(self.make, evolve(self.options, quick=quick), cases=cases)
