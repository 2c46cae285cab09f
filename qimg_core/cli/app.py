"""The command tree, loaded lazily, and `main` (imports click, errors; plugins' hooks when they are needed).

``qimg --help`` imports no command. Commands of plugins come by the hook ``qimg_commands`` and are listed
from their descriptors.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from qimg_core.cli.exits import ExitCode, exit_code
from qimg_core.cli.output import print_error, say
from qimg_core.errors import FallbackExhausted, QimgError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.plugins import ComponentSpec, Registry

_HERE = "qimg_core.cli.commands."
COMMANDS = {
    "demo": ("demo:demo", "Make 64 digits with the hybrid model, and verify their record."),
    "generate": ("generate:generate", "Make images and their record."),
    "plan": ("plan:plan", "Show what making images would ask for and cost."),
    "train": ("train:train", "Train a generator; it can be stopped and resumed."),
    "retune": ("retune:retune", "Write trained weights with other sampling settings."),
    "inspect": ("inspect:inspect", "Show what made a picture, weights or a run, and prove it."),
    "verify": ("verify:verify", "Check a ledger or an exported bundle, every entry of it."),
    "replay": ("replay:replay", "Make a recorded run again and compare."),
    "export": ("export:export", "Write a bundle that anybody can verify."),
    "circuit": ("circuit:circuit", "Show and measure circuits."),
    "data": ("data:data", "List, download and look at datasets."),
    "plugin": ("plugin:plugin", "List plugins, test a component, begin a plugin."),
    "backends": ("backends:backends", "List devices and what they can do."),
    "jobs": ("jobs:jobs", "Find, fetch and cancel the jobs that runs sent to providers."),
    "ledger": ("ledger:ledger", "Read a ledger, sign its head."),
    "trace": ("trace:trace", "Walk from an image to what made it, and back."),
    "inventory": ("inventory:inventory", "List what a ledger's runs are for, with class, tags and spend."),
    "keys": ("keys:keys", "A log's keys, and those of its data subjects."),
    "doctor": ("doctor:doctor", "Check this installation."),
}
"""Name -> (module:attribute, one line)."""


@define
class App:
    """One call of ``qimg``.

    Args:
        argv: as given, without the program's name.
        json: whether results are JSON documents.
        debug: whether errors show their traceback.
        given: the plugins, where the caller has them (tests); else the installed ones.
    """

    argv: tuple[str, ...] = ()
    json: bool = False
    debug: bool = False
    given: Registry | None = None
    _found: Registry | None = field(default=None, init=False, repr=False)

    @property
    def registry(self) -> Registry:
        """The plugins, discovered when they are first needed."""
        if self.given is not None:
            return self.given
        if self._found is None:
            from qimg_core.plugins import Registry

            self._found = Registry()
        return self._found


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The core's commands, then those of plugins."""
        return [*COMMANDS, *sorted(_plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name in COMMANDS:
            from importlib import import_module

            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            found = getattr(import_module(_HERE + module), attribute)
        elif cmd_name in _plugin_commands(ctx):
            found = ctx.ensure_object(App).registry.load("command", cmd_name)
        else:
            return None
        assert isinstance(found, click.Command), f"{cmd_name} is not a click command"
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer the nearest name where there is no such command."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownName("command", args[0], self.list_commands(ctx), hint="qimg --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the one-line texts, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        if extra := _plugin_commands(ctx):
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, spec.summary) for name, spec in sorted(extra.items())])


def _plugin_commands(ctx: click.Context) -> dict[str, ComponentSpec]:
    try:
        specs = ctx.ensure_object(App).registry.specs("command")
    except QimgError as error:  # conflicting plugins must not take the core's commands down
        say(f"warning: the commands of plugins are left out: {error.message}")
        return {}
    for name in sorted(set(specs) & set(COMMANDS)):
        say(f"warning: {specs[name].target} is left out: there is a command {name!r} already")
    return {name: spec for name, spec in specs.items() if name not in COMMANDS}


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from qimg_core import __version__

        click.echo(f"qimg {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, name="qimg", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def cli(app: App, debug: bool) -> None:
    """Quantum-enhanced image generation, with a record of every image.

    Every command takes --json and then prints one JSON document. Exit codes: 0 ok, 1 a check failed, 2 wrong
    input, 3 inconclusive, 4 refused by a policy or budget, 130 interrupted.
    """
    app.debug = debug


def main(argv: Sequence[str] | None = None, registry: Registry | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None for the process's own.
        registry: the plugins; None discovers the installed ones.

    Returns:
        The exit code.
    """
    if "_QIMG_COMPLETE" in os.environ:
        cli.main(prog_name="qimg", obj=App(given=registry))  # shell completion; exits
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    app = App(argv=tuple(args), json="--json" in args, debug="--debug" in args, given=registry)
    try:
        with cli.make_context("qimg", args, obj=app) as context:
            code: Any = cli.invoke(context)
            sys.stdout.flush()
            return code if isinstance(code, int) else ExitCode.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:  # the reader has enough, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except (QimgError, FallbackExhausted, click.ClickException, click.Abort, KeyboardInterrupt, OSError) as error:
        if app.debug:
            traceback.print_exception(error)
        print_error(error, as_json=app.json)
        return exit_code(error)
    except Exception as error:  # a bug: its traceback is what helps, and JSON readers still get one document
        traceback.print_exception(error)
        print_error(error, as_json=app.json)
        return ExitCode.FAILED
