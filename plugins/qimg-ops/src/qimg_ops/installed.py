"""What of this installation a row asks for, and what is not there (imports requirement, qimg_core.plugins, cli).

Looked at, not run: a component has to be found by its descriptor, with the interface and the SDKs that it wants, in a
module that is there; a command has to be one that the program takes. Nothing is sent, and no device is opened.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from qimg_core.errors import QimgError
from qimg_core.plugins import check_requirements

if TYPE_CHECKING:
    import click

    from qimg_core.plugins import Registry
    from qimg_ops.requirement import Requirement


class Installation:
    """The installed program.

    Args:
        registry: its plugins.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._said: dict[str, str] = {}

    def missing(self, row: Requirement) -> str:
        """What the row asks for and this installation has not, in words; "" where it has all."""
        asked = [("part", p) for p in row.parts] + [("module", m) for m in row.modules]
        for kind, name in [*asked, *(("command", c) for c in row.commands)]:
            key = f"{kind} {name}"
            if key not in self._said:
                look = {"part": self._part, "module": _module, "command": self._command}[kind]
                self._said[key] = look(name)
            if self._said[key]:
                return self._said[key]
        if row.silent and (listening := self._listening()):
            return f"plugins are told of every entry, and may send it: {', '.join(listening)}"
        return ""

    def _listening(self) -> list[str]:
        hooks = self.registry.hooks.hook.qimg_entry_appended.get_hookimpls()
        return sorted(impl.plugin_name for impl in hooks)

    def shown(self, row: Requirement) -> str:
        """What there is, with the distributions that supply it."""
        parts = []
        for part in row.parts:
            kind, _, name = part.partition(":")
            parts.append(f"{kind} {name} ({self.registry.version_of(kind, name)})")
        quiet = ["no plugin is told of entries"] if row.silent else []
        return "; ".join([*parts, *row.modules, *(f"qimg {c}" for c in row.commands), *quiet])

    def _part(self, part: str) -> str:
        kind, _, name = part.partition(":")
        try:
            spec = self.registry.spec(kind, name)
            check_requirements(spec)
        except QimgError as error:
            return error.message
        return _module(spec.target.partition(":")[0])

    def _command(self, text: str) -> str:
        import click

        words, command, context = text.split(), self._root, self._context
        try:
            while words and not words[0].startswith("-"):
                name = words.pop(0)
                found = command.get_command(context, name) if isinstance(command, click.Group) else None
                if found is None:
                    return f"there is no command qimg {text}: a plugin is not installed, see qimg plugin list"
                command = found
        except QimgError as error:
            return error.message
        taken = {option for parameter in command.params for option in parameter.opts}
        strange = [w for w in words if w.startswith("--") and w not in taken]
        return f"qimg {text.partition(' --')[0]} does not take {strange[0]}" if strange else ""

    @cached_property
    def _root(self) -> click.Command:
        from qimg_core.cli.app import cli

        return cli

    @cached_property
    def _context(self) -> click.Context:
        import click

        from qimg_core.cli.app import App, cli

        return click.Context(cli, info_name="qimg", obj=App(given=self.registry))


def _module(name: str) -> str:
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    return (
        ""
        if found is not None
        else f"there is no module {name}: pip install {name.partition('.')[0]}".replace("_", "-")
    )
