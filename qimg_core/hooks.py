"""The hook specifications and the descriptors that hooks return (floor 4; imports nothing heavy).

A plugin module is thin: its hooks return *descriptors* that name components as strings, and
nothing of a plugin is imported before a component is asked for by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qimg_core.admission import Context, Decision
    from qimg_core.budget import Forecast, Outlook, Reservation, Spend
    from qimg_core.datasets import ImageSource
    from qimg_core.execution import Plan
    from qimg_core.images import Images
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.session import Session
    from qimg_core.verdict import Verdict

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


@frozen(kw_only=True)
class Evidence:
    """One thing that a detector looked for in a picture.

    Args:
        layer: what was looked for, in words: ``content credentials``.
        verdict: pass: it is there and holds. fail: it is there and does not hold, or the picture was taken
            down. inconclusive: it cannot be told. not_applicable: it is not there.
        found: in words.
        proves: what follows from it.
        proves_not: what does not.
        facts: more, for ``--json``.
        entry: number of the ledger's entry that this rests on; its place in the log is then proved, too.
        made_by: number of the ``images.made`` entry whose pixels, by that entry, were changed into these.
    """

    layer: str
    verdict: Verdict
    found: str
    proves: str = ""
    proves_not: str = ""
    facts: Mapping[str, Any] = field(factory=dict, eq=False, hash=False)
    entry: int | None = None
    made_by: int | None = None


def marks_of(plugin: object, name: str) -> tuple[str, ...]:
    """The marks that a plugin with ``qimg_mark`` puts on images now.

    Its module's ``MARKS``: names such as ``label``, or a function without arguments that gives them, for a plugin whose
    marks depend on its settings. A plugin without it is known by its own name.
    """
    found = getattr(plugin, "MARKS", (name,))
    return tuple(str(mark) for mark in (found() if callable(found) else found))


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
    def qimg_standing(self, ledger: Ledger) -> str | None:
        """Say in a word what admissions rest on besides their plans, e.g. which blocks are in force.

        Asked before every request, so it is quick. Where the word changes, plans that were admitted or refused before
        are asked about again; also where it raises.
        """

    @_hookspec
    def qimg_reserve(self, spend: Spend) -> Reservation | None:
        """Reserve what an admitted plan may cost in a budget that several runs share, before anything of it is sent.

        None where there is no such budget. It refuses by raising `qimg_core.errors.BudgetExceeded` or ``UnknownCost``;
        whatever else it raises refuses, too.
        """

    @_hookspec
    def qimg_foresee(self, forecast: Forecast) -> Outlook | None:
        """Say what is left in a budget that several runs share, and whether planned work fits; reserve nothing.

        None where there is no such budget. A refusal is in the answer; what is raised says that it cannot be told.
        """

    @_hookspec
    def qimg_screen(self, images: Images, context: Context) -> Decision | None:
        """Judge finished images before they leave the session; ``deny`` withholds them."""

    @_hookspec
    def qimg_check_data(self, images: ImageSource, context: Context, given: Mapping[str, Any]) -> Decision | None:
        """Judge the data of a training before anything is computed; one ``deny`` refuses it. None abstains.

        Args:
            images: what is to be learned.
            context: what the caller states of the run.
            given: ``data``: the name or path it was opened by, ``manifest``: the manifest that was named, both or None;
                ``ledger``: a function that opens the run's log.

        Returns:
            a `Decision`. Its record becomes an entry ``data.checked``; ``manifest`` and ``licence`` in it join the
            training's own record, and the words under ``stated`` the run's context, where policies see them.
        """

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
    def qimg_saved(self, files: Sequence[Path], session: Session) -> Iterable[Path]:
        """Pictures of a run were written by a command, and the run is still open: sign them, copy them.

        Args:
            files: the pictures, in their place; a plugin may replace one by a file with the same pixels.
            session: of the run; its ledger has their ``images.made`` entry.

        Returns:
            files that it put beside them.
        """
        return ()

    @_hookspec
    def qimg_detect(self, path: Path, ledger: Ledger | None, context: Mapping[str, Any]) -> Iterable[Evidence]:
        """Say which marks a picture of any origin carries (``qimg inspect``). Reads only, sends nothing.

        Args:
            path: PNG, JPEG or WebP.
            ledger: where to look it up; None where there is none.
            context: ``names``: what the picture says of itself, as `qimg_core.images.read_images` gives it.
        """
        return ()

    @_hookspec
    def qimg_entry_appended(self, entry: Entry) -> None:
        """An entry is durably in the ledger. Failures are logged and never block."""

    @_hookspec(firstresult=True)
    def qimg_open_ledger(self, uri: str, create: bool, read_only: bool) -> Ledger | None:
        """Open the ledger at ``uri``, or None where the scheme is not this plugin's.

        Args:
            uri: with a scheme.
            create: make it where there is none.
            read_only: for reading, without private keys.
        """
