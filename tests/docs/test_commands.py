"""Every `qimg ...` command that the pages show is one that the program takes."""

import re
import shlex
from pathlib import Path

import click
import pytest

from qimg_core.cli.app import App, cli
from qimg_core.errors import UnknownName

pytestmark = pytest.mark.filterwarnings("ignore:'protected_args':DeprecationWarning")

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]


def shown(text):
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if line.startswith("$ qimg "):
                words = shlex.split(line[2:], comments=True)
                yield words[1 : next((i for i, w in enumerate(words) if w in (">", "|")), len(words))]


COMMANDS = sorted({tuple(words) for page in PAGES for words in shown(page.read_text())})


def parse(words):
    """Parse without running: unknown commands, options and values raise."""
    command, name, rest = cli, "qimg", list(words)
    context = None
    while True:
        context = command.make_context(name, rest, parent=context, obj=App(argv=tuple(words)))
        if not isinstance(command, click.Group):
            return context
        name, command, rest = command.resolve_command(context, [*context.protected_args, *context.args])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_pages_is_understood(words):
    parse(words)


@pytest.mark.parametrize("line", ["generate --nonsense", "ledger lgo", "verify a b c", "demo --n many"])
def test_a_wrong_one_would_be_noticed(line):
    with pytest.raises(click.UsageError):
        parse(line.split())


def test_a_command_that_is_not_there_would_be_noticed():
    with pytest.raises(UnknownName, match="did you mean 'generate'"):
        parse(["generat"])


def test_the_pages_show_commands():
    assert len(COMMANDS) > 20
    assert {"generate", "train", "inspect", "verify", "replay", "export"} <= {words[0] for words in COMMANDS}


def test_links_of_the_readme_and_the_pages_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("http") and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert missing == []


def test_no_page_speaks_of_a_quantum_advantage():
    assert [p.name for p in PAGES if re.search(r"quantum advantage|supremacy", p.read_text(), re.IGNORECASE)] == []
