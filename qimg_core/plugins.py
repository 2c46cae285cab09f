"""`Registry`: finds plugins, survives broken ones, imports a component only when asked (floor 4).

Imports errors and hooks; pluggy and importlib.metadata. There is no global registry: it is an
object, and each session has one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import frozen

from qimg_core.errors import PluginConflict, PluginIncompatible, PluginLoadError, QimgError, UnknownName
from qimg_core.hooks import (
    ENTRY_POINT_GROUP,
    INTERFACE_VERSION,
    AnsatzSpec,
    BackendSpec,
    CommandSpec,
    ComponentSpec,
    DatasetSpec,
    EncoderSpec,
    GeneratorSpec,
    HookSpecs,
    ObservableSpec,
    OutsideMemorySpec,
    hookimpl,
)

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from qimg_core.backend import Backend

__all__ = [
    "AnsatzSpec",
    "BackendSpec",
    "CommandSpec",
    "ComponentSpec",
    "DatasetSpec",
    "EncoderSpec",
    "GeneratorSpec",
    "ObservableSpec",
    "OutsideMemorySpec",
    "PluginStatus",
    "Registry",
    "hookimpl",
]

KINDS: dict[str, tuple[str, type[ComponentSpec]]] = {
    "backend": ("qimg_backends", BackendSpec),
    "generator": ("qimg_generators", GeneratorSpec),
    "encoder": ("qimg_encoders", EncoderSpec),
    "ansatz": ("qimg_ansatzes", AnsatzSpec),
    "observable": ("qimg_observables", ObservableSpec),
    "dataset": ("qimg_datasets", DatasetSpec),
    "command": ("qimg_commands", CommandSpec),
    "outside": ("qimg_outside_memories", OutsideMemorySpec),
}


@frozen(kw_only=True)
class PluginStatus:
    """One plugin as it was found; ``error`` says why it cannot be used."""

    name: str
    distribution: str
    version: str
    error: QimgError | None = None


class Registry:
    """The installed plugins.

    Args:
        discover: look at the installed distributions' entry points. ``QIMG_PLUGINS`` (a comma list;
            empty for none) restricts which; ``QIMG_PLUGIN_ERRORS=raise`` raises instead of noting.

    Raises:
        PluginConflict: two plugins supply the same component name (when that kind is first read).
    """

    def __init__(self, *, discover: bool = True) -> None:
        self.hooks = pluggy.PluginManager("qimg")
        self.hooks.add_hookspecs(HookSpecs)
        self.status: list[PluginStatus] = []
        self._specs: dict[str, dict[str, ComponentSpec]] = {}
        if discover:
            self._discover()

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin module or object that was not installed: tests, notebooks."""
        self.hooks.register(plugin, name=name)
        self.hooks.check_pending()
        self._specs.clear()

    def _discover(self) -> None:
        from importlib.metadata import entry_points

        allowed = os.environ.get("QIMG_PLUGINS")
        names = None if allowed is None else {n.strip() for n in allowed.split(",") if n.strip()}
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
            if names is None or point.name in names:
                self._load(point)

    def _load(self, point: EntryPoint) -> None:
        dist = point.dist
        error: QimgError | None = None
        try:
            if dist is not None:
                _check_core(dist)
            self.hooks.register(point.load(), name=point.name)
            self.hooks.check_pending()
        except QimgError as cause:
            error = cause
        except Exception as cause:  # one broken plugin must not take the others down; it is kept and shown
            error = PluginLoadError(f"plugin {point.name!r} ({point.value}) failed to load: {cause!r}")
        if error is not None:
            broken = self.hooks.get_plugin(point.name)
            if broken is not None:
                self.hooks.unregister(broken)
            if os.environ.get("QIMG_PLUGIN_ERRORS") == "raise":
                raise error
        self.status.append(
            PluginStatus(
                name=point.name,
                distribution=dist.name if dist else "?",
                version=dist.version if dist else "?",
                error=error,
            )
        )

    def specs(self, kind: str) -> dict[str, ComponentSpec]:
        """Descriptors of one kind by name, sorted; nothing is imported.

        Raises:
            PluginConflict: two plugins supply one name.
            PluginLoadError: a hook returned something else than descriptors of its kind.
        """
        if kind in self._specs:
            return self._specs[kind]
        hook, wanted = KINDS[kind]
        found: dict[str, ComponentSpec] = {}
        for impl in getattr(self.hooks.hook, hook).get_hookimpls():
            try:
                specs = list(impl.function())
            except Exception as cause:  # a hook that fails is a broken plugin, not a broken program
                self._broken(impl.plugin_name, PluginLoadError(f"{hook} of {impl.plugin_name!r} failed: {cause!r}"))
                continue
            for spec in specs:
                if not isinstance(spec, wanted):
                    raise PluginLoadError(f"{hook} of {impl.plugin_name!r} returned {spec!r}, wanted {wanted.__name__}")
                if spec.name in found:
                    raise PluginConflict(
                        f"two plugins supply the {kind} {spec.name!r}: {found[spec.name].target} and {spec.target}",
                        hint="uninstall one, or choose with QIMG_PLUGINS",
                    )
                found[spec.name] = spec
        self._specs[kind] = dict(sorted(found.items()))
        return self._specs[kind]

    def _broken(self, name: str, error: QimgError) -> None:
        if os.environ.get("QIMG_PLUGIN_ERRORS") == "raise":
            raise error
        kept = [s for s in self.status if s.name != name]
        old = next((s for s in self.status if s.name == name), None)
        dist, version = (old.distribution, old.version) if old else ("?", "?")
        self.status = [*kept, PluginStatus(name=name, distribution=dist, version=version, error=error)]

    def spec(self, kind: str, name: str) -> ComponentSpec:
        """One descriptor.

        Raises:
            UnknownName: nothing of that name; the nearest is offered.
        """
        specs = self.specs(kind)
        head, colon, _ = name.partition(":")
        if name not in specs and colon and kind == "backend":
            several = specs.get(head)
            if isinstance(several, BackendSpec) and several.devices:
                return several
        if name not in specs:
            broken = [s.name for s in self.status if s.error]
            hint = f"{', '.join(broken)} failed to load: see `qimg plugin list`" if broken else ""
            raise UnknownName(kind, name, specs, hint=hint)
        return specs[name]

    def load(self, kind: str, name: str) -> Any:
        """Import a component.

        Raises:
            UnknownName: no such name.
            PluginIncompatible: another interface version, or an SDK missing or of another version.
            PluginLoadError: its import failed.
        """
        spec = self.spec(kind, name)
        check_requirements(spec)
        module, _, attribute = spec.target.partition(":")
        from importlib import import_module

        try:
            return getattr(import_module(module), attribute)
        except Exception as cause:
            raise PluginLoadError(f"{kind} {name!r} ({spec.target}) failed to import: {cause!r}") from cause

    def open_backend(self, name: str) -> Backend:
        """Make the driver of a name: ``simulator``, or ``pennylane:lightning.qubit`` with a device after the colon.

        Raises:
            UnknownName, PluginIncompatible, PluginLoadError: see `load`.
            ConfigurationError: the driver does not know the device.
        """
        spec = self.spec("backend", name)
        make = self.load("backend", name)
        if isinstance(spec, BackendSpec) and spec.devices:
            return make(device=name.partition(":")[2])  # type: ignore[no-any-return]
        return make()  # type: ignore[no-any-return]

    def version_of(self, kind: str, name: str) -> str:
        """``distribution version`` of the plugin that supplies a component, for the record."""
        spec = self.spec(kind, name)
        hook = KINDS[kind][0]
        for impl in getattr(self.hooks.hook, hook).get_hookimpls():
            if any(s == spec for s in impl.function()):
                found = next((s for s in self.status if s.name == impl.plugin_name), None)
                if found is not None:
                    return f"{found.distribution} {found.version}"
        return f"{spec.target.partition(':')[0]} (registered by hand)"


def check_requirements(spec: ComponentSpec) -> None:
    """Refuse a component whose interface or SDK is not here, naming the fix.

    Raises:
        PluginIncompatible
    """
    if spec.interface != INTERFACE_VERSION:
        raise PluginIncompatible(
            f"{spec.name} was written for interface version {spec.interface}, this qimg-core has {INTERFACE_VERSION}",
            hint="upgrade the plugin" if spec.interface < INTERFACE_VERSION else "pip install -U qimg-core",
        )
    if not spec.requires:
        return
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    for line in spec.requires:
        need = Requirement(line)
        try:
            have = version(need.name)
        except PackageNotFoundError:
            raise PluginIncompatible(
                f"{spec.name} needs {line}, which is not installed", hint=f"pip install '{line}'"
            ) from None
        if not need.specifier.contains(have, prereleases=True):
            raise PluginIncompatible(
                f"{spec.name} needs {line}, found {need.name} {have}", hint=f"pip install '{line}'"
            )


def _check_core(dist: Distribution) -> None:
    """Pip enforces a plugin's qimg-core range at install time; an editable core can drift past it."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    try:
        have = version("qimg-core")
    except PackageNotFoundError:
        return
    for line in dist.requires or ():
        need = Requirement(line)
        if need.name == "qimg-core" and not need.specifier.contains(have, prereleases=True):
            raise PluginIncompatible(
                f"plugin distribution {dist.name} {dist.version} needs {line}, this is qimg-core {have}",
                hint=f"pip install -U {dist.name}",
            )
