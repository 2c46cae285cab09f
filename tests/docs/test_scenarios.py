"""The texts that the page of mistakes quotes are those that the program prints; the scenarios run with the pages."""

import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import click
import numpy as np
import pytest

from qimg_core import Registry, Session, png
from qimg_core.capabilities import Idempotency
from qimg_core.cli import main
from qimg_core.cli.app import App, cli
from qimg_core.cli.commands.inventory import inventory
from qimg_core.errors import QimgError
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider
from qimg_core.testing.toy import ToyPlugin

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "how-to" / "troubleshooting.md"
PLUGINS = ("audit", "budget", "data", "ops", "policy", "rollout")
TOY = "generate --generator toy --untrained --n 2 --seed 1 --ledger runs --out a.png --backend"
ABOUT = """
name = "faces"
source = "a camera"
licence = "CC-BY-4.0"
consent = "given"
consent_obtained = "2026-01-02"
consent_evidence = "form 7"
purposes = ["personalisation"]
sensitivity = "personal"
inputs = "raw_personal"
"""


class Cloud:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider", remote=True, metered=True)]


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(Cloud(), "cloud")
    for name in PLUGINS:
        found.register(pytest.importorskip(f"qimg_{name}.plugin"), name)
    return found


@pytest.fixture
def seen(registry, tmp_path, monkeypatch, capsys):
    """Makes each mistake once; what was printed, and what was raised from Python."""
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_POLICY", "QIMG_LEDGER", "QIMG_BUDGET", "QIMG_DATA_RULES", "QIMG_ZONES"):
        monkeypatch.delenv(name, raising=False)
    raised = []

    def qimg(line, code):
        found = main(shlex.split(line), registry=registry)
        assert found == code, (line, found, capsys.readouterr())

    def session(fake, **polling):
        with pytest.raises(QimgError) as error:
            with Session("runs", seed=1, backend=fake, registry=registry, shots=100, polling=Polling(**polling)) as s:
                s.generator("toy").sample(2)
        raised.append(str(error.value))

    qimg(f"{TOY} reference", 0)
    made = 3
    with SQLiteLedger.open("runs") as held:
        assert held.entry(made).kind == "images.made"
        qimg(f"{TOY} reference", 1)
    Path("plain.png").write_bytes(png.encode(np.zeros((2, 2, 1), dtype=np.uint8)))
    qimg("inspect plain.png", 3)
    qimg("keys show", 0)
    qimg("assess --profile production-readiness", 1)
    qimg("assess --profile pre-deployment", 1)
    qimg(f"drift pin steady --entry {made}", 0)
    qimg(f"drift check steady --entry {made}", 3)
    qimg("policy show", 0)
    qimg(f"{TOY} fake-provider --shots 100 --max-cost 0.001", 4)
    session(FakeProvider(price=None))
    session(FakeProvider(fault="accepted then dropped", idempotency=Idempotency.NONE), sleep=lambda s: None)
    now = [0.0]
    clock = {"sleep": lambda s: now.__setitem__(0, now[0] + s), "clock": lambda: now[0], "timeout": 60}
    session(FakeProvider(polls=10**9), **clock)
    qimg("audit gaps", 1)
    Path("gate.toml").write_text('ledger = "runs"\ncards = ["M.md"]\n')
    Path("M.md").write_text("# M\n## Measured\nOur quantum layer outperforms the classical one.\n")
    qimg("gate", 1)

    np.savez("faces.npz", x=np.zeros((6, 2, 2, 1), np.float32), y=np.arange(6) % 3)
    Path("about.toml").write_text(ABOUT)
    qimg("manifest new faces.npz --about about.toml", 0)
    train = "train --generator toy --backend reference --data faces.npz --steps 1 --out w.safetensors"
    qimg(f"{train} --stated purpose=publication", 4)

    qimg("policy init mine --profile solo", 0)
    shutil.rmtree("mine/tests")
    qimg("policy lint mine", 0)
    qimg("policy test mine", 1)
    qimg("policy init two --profile team", 0)
    qimg("policy key officer --out keys", 0)
    approver = (
        f'persons = 2\n[[approvals.approver]]\nkey = "{Path("keys/officer.pub").read_text().strip()}"\nmay = ["data"]\n'
    )
    text = Path("two/policy.toml").read_text().replace("longest_days = 30\n", "")
    Path("two/policy.toml").write_text(text.replace("persons = 1\n", approver))
    qimg("policy lint two", 1)
    qimg("policy use team", 0)
    qimg(f"{TOY} fake-provider --shots 100", 4)
    qimg(f"{TOY} fake-provider --shots 100 --stated sensitivity=Public", 4)
    monkeypatch.setenv("QIMG_POLICY", "solo")
    qimg(f"{TOY} fake-provider --shots 100 --stated sensitivity=public", 4)
    monkeypatch.delenv("QIMG_POLICY")

    qimg("generate --generator toy --untrained --n 2 --seed 1 --ledger other --out b.png --backend reference", 0)
    monkeypatch.setenv("QIMG_BUDGET", "budget.db")
    qimg("budget init budget.db", 0)
    qimg("budget use --ledger other --project x", 0)
    monkeypatch.delenv("QIMG_BUDGET")
    qimg(f"{TOY.replace('--ledger runs', '--ledger other')} fake-provider --shots 100", 4)

    database = sqlite3.connect("runs/ledger.db")
    with database:
        database.execute("DROP TRIGGER entry_no_update")
        database.execute("UPDATE entry SET body = CAST(replace(body, 'toy', 'boy') AS BLOB) WHERE idx = ?", [made])
    database.close()
    qimg("verify runs", 1)
    captured = capsys.readouterr()
    return "\n".join([captured.out, captured.err, *raised])


def quoted():
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def said(line, text):
    """Whether the line's parts between ``...`` stand in one line of the text, in their order."""
    parts = [re.sub(r"\s+", r"\\s+", re.escape(part).replace(r"\ ", " ")) for part in line.split("...")]
    return re.search("[^\n]*?".join(parts).replace(r"\s+", "[^\\S\n]+"), text) is not None


def test_every_quoted_text_is_what_the_program_says(seen):
    assert [line for line in quoted() if not said(line, seen)] == []
    assert not said("error: the ledger in runs is being written by nobody", seen)


def test_there_are_twenty_each_in_the_table_and_with_a_section():
    text = PAGE.read_text()
    numbers = [str(n) for n in range(1, 21)]
    assert re.findall(r"^## (\d+)\.", text, re.MULTILINE) == numbers
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == numbers
    assert len(quoted()) >= 20


@pytest.mark.parametrize("name", ["off-load", "consent", "incident", "cost"])
def test_a_scenario_is_a_script_that_checks_what_it_says(name):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "scenarios" / f"{name}.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert sum(block.count("assert ") for block in blocks) >= 3
    assert sum(block.count("qimg(") for block in blocks) >= 6


def inline():
    """Every ``qimg ...`` in backquotes of the pages of this area, with its page."""
    pages = [PAGE, DOCS.parent / "SECURITY.md", *(DOCS / "handbook").glob("*.md"), *(DOCS / "scenarios").glob("*.md")]
    for page in pages:
        for found in re.findall(r"(?<!`)`qimg ([^`]+)`", page.read_text()):
            yield page.name, found


def unknown(text):
    """The words of a command that the program has not got, "" where it knows them all."""
    context = click.Context(cli, obj=App())
    command = cli
    words = [w for w in text.split() if w != "..."]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = inventory if name == "inventory" else command.get_command(context, name)
        if found is None:
            return name
        command = found
    taken = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    return " ".join(w for w in words if w.startswith("--") and w not in taken)


def test_every_command_that_a_control_names_is_there():
    pytest.importorskip("qimg_policy")
    found = list(inline())
    assert [(page, text) for page, text in found if unknown(text)] == []
    assert len(found) > 80
    assert unknown("policy lnit") == "lnit"
    assert unknown("audit gaps --nonsense") == "--nonsense"
