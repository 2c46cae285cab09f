"""The command tree: help without imports, plugins' commands, errors and exit codes in one place."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from qimg_core import Registry
from qimg_core.capabilities import Mismatch
from qimg_core.cli.app import COMMANDS, App, cli
from qimg_core.cli.exits import exit_code
from qimg_core.errors import (
    BackendUnavailable,
    BudgetExceeded,
    CapabilityError,
    DataError,
    FallbackExhausted,
    LedgerBusy,
    UnknownName,
)
from qimg_core.hooks import CommandSpec, hookimpl

HEAVY = ("numpy", "torch", "httpx", "cryptography", "rich", "qiskit", "pennylane", "braket")
ROOT = Path(__file__).parents[2]


class Greeter:
    @hookimpl
    def qimg_commands(self):
        return [CommandSpec(name="greet", target="greeter_module_of_this_test:greet", summary="Says hello.")]


def tree(command, path=()):
    """(path, command) of every command below."""
    context = click.Context(command, obj=App(given=Registry(discover=False)))
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        yield from tree(command.get_command(context, name), (*path, name))


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from qimg_core.cli import main; main(['--help']);"
        f"print('LOADED', [m for m in {HEAVY} if m in sys.modules], "
        "[m for m in sys.modules if m.startswith('qimg_core.cli.commands')])"
    )
    out = python(code)
    assert "LOADED [] []" in out
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line[:30])}", out, re.MULTILINE)


def test_help_takes_less_than_the_promised_cpu_time():
    code = "import resource; from qimg_core.cli import main; main(['--help']); print(sum(resource.getrusage(0)[:2]))"
    assert min(float(python(code).splitlines()[-1]) for _ in range(3)) < 0.3


def test_importing_the_core_does_not_import_the_command_line():
    assert python("import sys, qimg_core; print([m for m in ('click', 'qimg_core.cli') if m in sys.modules])") == "[]\n"


def test_python_m_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "qimg_core", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"qimg \d+\.\d+\.\d+\n", done.stdout)


def test_a_plugins_command_is_listed_unimported_and_run(qimg, registry, monkeypatch):
    import types

    registry.register(Greeter(), "greeter")
    listed = qimg("--help")
    assert "Says hello." in listed.out
    assert "greeter_module_of_this_test" not in sys.modules
    module = types.ModuleType("greeter_module_of_this_test")
    module.greet = click.command()(lambda: click.echo("hello"))
    monkeypatch.setitem(sys.modules, "greeter_module_of_this_test", module)
    assert qimg("greet") == type(listed)(0, "hello\n", "")


def test_a_plugin_cannot_replace_a_command(qimg, registry):
    class Thief:
        @hookimpl
        def qimg_commands(self):
            return [CommandSpec(name="verify", target="nowhere:verify")]

    registry.register(Thief(), "thief")
    listed = qimg("--help")
    assert listed.code == 0
    assert "nowhere:verify is left out" in listed.err


def test_every_command_takes_json_and_says_what_it_does():
    found = dict(tree(cli))
    assert {path[0] for path in found} == set(COMMANDS)
    for path, command in found.items():
        options = {o for p in command.params for o in getattr(p, "opts", ())}
        assert "--json" in options, path
        assert command.help, path
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, (path, parameter.name)


def test_the_reference_names_every_command_and_option():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    for path, command in tree(cli):
        heading = f"qimg {' '.join(path)}"
        assert f"`{heading}`" in text, f"docs/reference/cli.md lacks {heading}"
        section = text.split(f"`{heading}`", 1)[1].split("\n## ", 1)[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.opts[0] not in ("--json", "--help"):
                assert f"`{parameter.opts[0]}" in section or f"`{parameter.opts[0]}" in text, (path, parameter.opts)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("x"), 2),
        (UnknownName("backend", "x", ["y"]), 2),
        (CapabilityError("toy", [Mismatch("wires", "9", "up to 4")]), 2),
        (BudgetExceeded("x"), 4),
        (LedgerBusy("x"), 1),
        (BackendUnavailable("x"), 1),
        (OSError(28, "No space left on device"), 1),
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (FallbackExhausted("all failed", [CapabilityError("a", []), CapabilityError("b", [])]), 2),
        (FallbackExhausted("all failed", [CapabilityError("a", []), BudgetExceeded("b")]), 4),
        (FallbackExhausted("all failed", [CapabilityError("a", []), BackendUnavailable("b")]), 1),
    ],
)
def test_exit_codes(error, code):
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["genrate"], "did you mean 'generate'"),
        (["generate"], "--generator"),
        (["verify", "--nonsense"], "--nonsense"),
        (["data", "lst"], "lst"),
        (["generate", "--generator", "toy", "--n", "many"], "many"),
    ],
)
def test_wrong_usage_is_one_json_document_and_code_2(qimg, argv, word):
    plain, asked = qimg(*argv), qimg(*argv, "--json")
    assert plain.code == asked.code == 2
    assert plain.out == ""
    assert word in plain.err
    assert "Traceback" not in plain.err
    assert word in json.loads(asked.out)["error"]["message"]


def test_a_bug_shows_its_traceback_and_still_one_document(qimg, registry):
    class Broken:
        @hookimpl
        def qimg_commands(self):
            return [CommandSpec(name="broken", target="test_cli_tree_broken:broken")]

    import types

    module = types.ModuleType("test_cli_tree_broken")

    @click.command()
    @click.option("--json", is_flag=True)
    def broken(json):
        raise ZeroDivisionError("a bug")

    module.broken = broken
    sys.modules["test_cli_tree_broken"] = module
    registry.register(Broken(), "broken")
    done = qimg("broken", "--json")
    assert done.code == 1
    assert done.json["error"]["type"] == "ZeroDivisionError"
    assert "Traceback" in done.err


def test_debug_shows_the_traceback_of_an_error(qimg):
    assert "Traceback" not in qimg("generate", "--generator", "nothing").err
    assert "Traceback" in qimg("--debug", "data", "show", "nothing").err


def test_a_closed_pipe_is_no_error():
    code = "import sys; from qimg_core.cli import main; sys.exit(main(['plugin', 'list']))"
    reader = "import os, sys; os.close(0)"
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    subprocess.run([sys.executable, "-c", reader], stdin=writer.stdout, check=True)
    writer.stdout.close()
    assert "Traceback" not in writer.stderr.read()
    writer.stderr.close()
    writer.wait()
