"""The hook specifications and the descriptors that hooks return (floor 4; imports nothing heavy).

A plugin module is thin: its hooks return *descriptors* that name components as strings, and
nothing of a plugin is imported before a component is asked for by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_core.admission import Context, Decision
    from qimg_core.execution import Plan
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

ENTRY_POINT_GROUP = "qimg.plugins"
INTERFACE_VERSION = 1
"""Raised when an interface changes so that older plugins cannot work."""

_hookspec = pluggy.HookspecMarker("qimg")
hookimpl = pluggy.HookimplMarker("qimg")


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen(kw_only=True)
class ComponentSpec:
    """Names a component without importing it.

    Args:
        name: lower case, unique within its kind.
        target: ``"package.module:Attribute"``.
        summary: one line for listings.
        requires: provider SDKs as PEP 508 strings; checked before the import.
        interface: the `INTERFACE_VERSION` it was written for.
    """

    name: str
    target: str
    summary: str = ""
    requires: tuple[str, ...] = field(default=(), converter=_strings)
    interface: int = INTERFACE_VERSION


@frozen(kw_only=True)
class BackendSpec(ComponentSpec):
    """A device driver.

    Args:
        remote: work leaves the process.
        metered: it may cost money.
        devices: not empty: the driver serves several devices, named ``NAME:DEVICE``, and this says in
            words what DEVICE is; it is called with ``device=DEVICE`` (``device=""`` for the bare name).
    """

    remote: bool = False
    metered: bool = False
    devices: str = ""


@frozen(kw_only=True)
class GeneratorSpec(ComponentSpec):
    """A generator. ``weights``: names of trained weights that ship with it, and the file of each."""

    weights: dict[str, str] = field(factory=dict, eq=False, hash=False)


@frozen(kw_only=True)
class EncoderSpec(ComponentSpec):
    """An encoder class."""


@frozen(kw_only=True)
class AnsatzSpec(ComponentSpec):
    """An ansatz class."""


@frozen(kw_only=True)
class ObservableSpec(ComponentSpec):
    """An observable class."""


@frozen(kw_only=True)
class DatasetSpec(ComponentSpec):
    """A function ``(split) -> ImageSource``."""


@frozen(kw_only=True)
class CommandSpec(ComponentSpec):
    """A click command that becomes ``qimg NAME``."""


@frozen(kw_only=True)
class OutsideMemorySpec(ComponentSpec):
    """An `qimg_core.ledger.outside.OutsideMemory` class: witness, time stamp, archive."""


@frozen(kw_only=True, eq=False)
class SuppliedNoise:
    """Initial noise of a ``qimg_noise`` plugin, and where it is from.

    Args:
        values: ``(n, *shape)``, as the context asks.
        source: its name for the record.
        reason: why it is not from the source that was asked for; None where it is.
        facts: more for the record, without floats.
    """

    values: Any
    source: str
    reason: str | None = None
    facts: Mapping[str, Any] = field(factory=dict)


class HookSpecs:
    """Every moment at which a plugin can take part. All are optional."""

    @_hookspec
    def qimg_backends(self) -> Iterable[BackendSpec]:
        """Backends this plugin supplies."""
        return ()

    @_hookspec
    def qimg_generators(self) -> Iterable[GeneratorSpec]:
        """Generators this plugin supplies."""
        return ()

    @_hookspec
    def qimg_encoders(self) -> Iterable[EncoderSpec]:
        """Encoders this plugin supplies."""
        return ()

    @_hookspec
    def qimg_ansatzes(self) -> Iterable[AnsatzSpec]:
        """Ansatzes this plugin supplies."""
        return ()

    @_hookspec
    def qimg_observables(self) -> Iterable[ObservableSpec]:
        """Observables this plugin supplies."""
        return ()

    @_hookspec
    def qimg_datasets(self) -> Iterable[DatasetSpec]:
        """Datasets this plugin supplies."""
        return ()

    @_hookspec
    def qimg_commands(self) -> Iterable[CommandSpec]:
        """Commands this plugin adds to ``qimg``."""
        return ()

    @_hookspec
    def qimg_outside_memories(self) -> Iterable[OutsideMemorySpec]:
        """Memories outside of a log that this plugin supplies."""
        return ()

    @_hookspec
    def qimg_admit(self, plan: Plan, context: Context) -> Decision | None:
        """Judge a plan before anything is sent; one ``deny`` refuses it. None abstains."""

    @_hookspec
    def qimg_screen(self, images: Images, context: Context) -> Decision | None:
        """Judge finished images before they leave the session; ``deny`` withholds them."""

    @_hookspec(firstresult=True)
    def qimg_noise(self, context: dict[str, Any]) -> Any:
        """Supply the initial noise ``(n, *shape)`` instead of the session's own source, or None.

        Args:
            context: ``session``, ``run``, ``seed``, ``start`` (number of the first image), ``n``, ``shape``, and
                ``source``: the name that the user asked for, or None. A plugin that has no source of that name
                leaves it to others.

        Returns:
            an array, or a `SuppliedNoise` that names its source. The noise becomes an artefact of the record and a
            replay takes it from there. No wrappers here: the first that answers counts.
        """

    @_hookspec
    def qimg_mark(self, pixels: Any, record: dict[str, Any]) -> Any:
        """Mark one 8-bit image (h, w, c) after it was made; returns the marked one, or None."""

    @_hookspec
    def qimg_entry_appended(self, entry: Entry) -> None:
        """An entry is durably in the ledger. Failures are logged and never block."""

    @_hookspec(firstresult=True)
    def qimg_open_ledger(self, uri: str) -> Ledger | None:
        """Open the ledger at ``uri``, or None where the scheme is not this plugin's."""
