"""Each mistake of docs/how-to/troubleshooting.md: the command that its row names finds it, and is silent without it."""

import importlib
import re
import shlex
import shutil
import sqlite3
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Registry, Session, png
from qimg_core.capabilities import Idempotency
from qimg_core.cli import main
from qimg_core.errors import QimgError
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider
from qimg_core.testing.toy import ToyPlugin

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "troubleshooting.md"
TOY = "--generator toy --untrained --n 2 --seed 1"
RUN = f"generate {TOY} --ledger runs --out a.png --backend reference"
PLAN = f"plan {TOY} --backend fake-provider --shots 100"
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


class Bench:
    """A ledger ``runs`` with one run, the program, and what it printed last."""

    def __init__(self, capsys, monkeypatch):
        self.capsys, self.setenv, self.delenv = capsys, monkeypatch.setenv, monkeypatch.delenv
        self.registry = Registry(discover=False)
        self.registry.register(ToyPlugin(), "toy")
        self.registry.register(Cloud(), "cloud")
        for name in ("audit", "budget", "data", "ops", "policy", "rollout"):
            self.registry.register(importlib.import_module(f"qimg_{name}.plugin"), name)

    def qimg(self, line, code=0):
        self.capsys.readouterr()
        found = int(main(shlex.split(line), registry=self.registry))
        said = self.capsys.readouterr()
        assert code is None or found == code, said
        return found, said.out + said.err

    def broken(self, fake, **polling):
        """A run on a fake provider that ends in an error."""
        with pytest.raises(QimgError):
            with Session(
                "runs", seed=1, backend=fake, registry=self.registry, shots=100, polling=Polling(**polling)
            ) as s:
                s.generator("toy").sample(2)


# -- each makes one mistake ----------------------------------------------------------------------


def nothing(b):
    pass


def untested(b):
    b.qimg("policy init mine --profile solo")
    shutil.rmtree("mine/tests")


def drifted(b):
    b.qimg("policy use team")
    b.setenv("QIMG_POLICY", "solo")


def data(b):
    np.savez("faces.npz", x=np.zeros((6, 2, 2, 1), np.float32), y=np.arange(6) % 3)
    Path("about.toml").write_text(ABOUT)
    b.qimg("manifest new faces.npz --about about.toml")


def gated(b):
    b.qimg("policy init mine --profile solo")
    (rules,) = Path("mine").glob("*.cedar")
    rules.write_text(
        rules.read_text() + '\n@id("everything")\n@reason("r")\n@satisfy("s")\nforbid (principal, action, resource);\n'
    )


def alone(b):
    b.qimg("policy init two --profile team")
    b.qimg("policy key officer --out keys")
    key = Path("keys/officer.pub").read_text().strip()
    text = Path("two/policy.toml").read_text().replace("longest_days = 30\n", "")
    who = f'persons = 2\n[[approvals.approver]]\nkey = "{key}"\nmay = ["data"]\n'
    Path("two/policy.toml").write_text(text.replace("persons = 1\n", who))


def unshared(b):
    b.setenv("QIMG_BUDGET", "budget.db")
    b.qimg("budget init budget.db")
    b.qimg("budget use --project x")
    b.delenv("QIMG_BUDGET")


def uncertain(b):
    b.broken(FakeProvider(fault="accepted then dropped", idempotency=Idempotency.NONE), sleep=lambda s: None)


def stuck(b):
    now = [0.0]
    clock = {"sleep": lambda s: now.__setitem__(0, now[0] + s), "clock": lambda: now[0], "timeout": 60}
    b.broken(FakeProvider(polls=10**9), **clock)


def foreign(b):
    Path("plain.png").write_bytes(png.encode(np.zeros((2, 2, 1), dtype=np.uint8)))


def rewritten(b):
    database = sqlite3.connect("runs/ledger.db")
    with database:
        database.execute("DROP TRIGGER entry_no_update")
        database.execute("UPDATE entry SET body = CAST(replace(body, 'toy', 'boy') AS BLOB) WHERE kind = 'images.made'")
    database.close()


def held(b):
    return SQLiteLedger.open("runs")


def pinned(b):
    b.qimg("drift pin steady --entry 3")


def claimed(b):
    Path("gate.toml").write_text('ledger = "runs"\ncards = ["M.md"]\n')
    Path("M.md").write_text("# M\n## Measured\nOur quantum layer outperforms the classical one.\n")


GROUPS = ("policy", "audit", "manifest", "jobs", "drift", "keys")
CHECK = "manifest check faces.npz --stated purpose="
MISTAKES = {
    1: (nothing, "policy show", None, "no policy"),
    2: (untested, "policy lint mine", 0, "the bundle has no tests"),
    3: (drifted, "policy show", 1, "E_DRIFT"),
    4: (nothing, "audit gaps --stated", 0, "sensitivity: not stated by the caller"),
    5: (data, f"{CHECK}publication", 1, "D_PURPOSE"),
    6: (gated, "policy test mine", 1, "images from the simulator, nothing stated: expected allow, got deny"),
    7: (alone, "policy lint two", 1, "2 persons have to approve, and 1 may"),
    8: (nothing, f"{PLAN} --max-cost 0.001", 4, "the budget allows 0.001"),
    9: (unshared, PLAN, 4, "does not say where that is"),
    10: (uncertain, "jobs list", 0, "uncertain"),
    11: (stuck, "jobs list", 0, "running|submitted"),
    12: (nothing, "assess --profile pre-deployment", 1, "no entry route.fell_back or rollout.rolled_back"),
    13: (foreign, "inspect plain.png", 3, "names no run"),
    14: (rewritten, "verify runs", 1, "first bad entry"),
    15: (uncertain, "audit gaps", 1, "intent without outcome"),
    16: (held, "doctor --ledger runs", 1, "is being written by process"),
    17: (pinned, "drift check steady --entry 3", 3, "inconclusive"),
    18: (claimed, "gate", 1, "QG006"),
    19: (nothing, "keys show", 0, "whoever reads the file can sign"),
    20: (nothing, "assess --profile production-readiness", 1, "no entry incident.opened"),
}
"""Number -> what makes the mistake, the command that finds it, its exit code, what it prints."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A ledger with one run of images, copied for each mistake."""
    folder = tmp_path_factory.mktemp("made")
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    with Session(folder / "runs", seed=1, backend="reference", registry=found, activity="generate") as session:
        session.generator("toy").sample(2)
    return folder / "runs"


@pytest.fixture
def bench(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_POLICY", "QIMG_LEDGER", "QIMG_BUDGET", "QIMG_DATA_RULES", "QIMG_ZONES"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(made, "runs")
    return Bench(capsys, monkeypatch)


@pytest.mark.parametrize("number", MISTAKES)
def test_the_command_finds_the_mistake(number, bench):
    prepare, line, code, words = MISTAKES[number]
    with prepare(bench) or nullcontext():
        _, said = bench.qimg(line, code)
    assert re.search(words, said), said


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (1, ["policy use team"]),
        (10, []),
        (14, []),
        (15, []),
        (16, []),
        (20, ["incident open --title drill"]),
    ],
)
def test_without_the_mistake_it_says_something_else(number, mend, bench):
    _, line, _, words = MISTAKES[number]
    for command in mend:
        bench.qimg(command)
    assert not re.search(words, bench.qimg(line, None)[1])


def test_each_row_of_the_page_names_that_command():
    cells = dict(re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE))
    assert sorted(map(int, cells)) == sorted(MISTAKES)
    for number, (_, line, _, _) in MISTAKES.items():
        words = re.match(r"[a-z]+( [a-z]+(?= |$))?", line)[0]
        words = words if words.split()[0] in GROUPS else words.split()[0]
        assert f"`qimg {words}" in cells[str(number)], number
