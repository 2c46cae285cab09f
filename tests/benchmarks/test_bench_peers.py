"""Environments: what is there, what is missing and why; nothing is installed here."""

import sys

import pytest

from benchmarks.client import python_of
from benchmarks.engines import ENGINES
from benchmarks.peers import OWN, CommandFailed, Environment, environments, run_command, setup


@pytest.fixture
def environment(tmp_path):
    return Environment("fast", ("numpy==2.4.6", "torch==2.13.0", "fast==1.0"), ("fast",), tmp_path)


def test_versions_are_exact_and_every_engine_has_its_environment():
    known = environments()
    assert {e.environment for e in ENGINES.values()} == {OWN, *known}
    for found in known.values():
        assert all(p.count("==") == 1 for p in found.packages), found.packages
        assert any(p.startswith("attrs==") for p in found.packages)


def test_an_environment_is_made_once(environment):
    ran = []
    assert environment.missing == "not installed: run `python -m benchmarks --setup`"
    assert environment.make(lambda command: (ran.append(command), environment.home.mkdir(exist_ok=True))) is None
    assert environment.missing is None
    venv, torch, packages, imported = ran
    assert venv == [sys.executable, "-m", "venv", str(environment.home)]
    assert torch[-1] == "torch==2.13.0"  # before anything that may ask for another build of it
    assert packages[-3:] == ["numpy==2.4.6", "torch==2.13.0", "fast==1.0"]
    assert imported[-2:] == ["-c", "import fast"]
    said = []
    assert setup(known={"fast": environment}, say=said.append, run=pytest.fail) == {"fast": None}
    assert said == ["fast: ready"]


def test_other_versions_are_another_environment(environment):
    environment.make(lambda command: environment.home.mkdir(exist_ok=True))
    newer = Environment("fast", ("fast==1.1",), (), environment.folder)
    assert newer.missing is not None


def test_a_failure_is_kept_and_told(environment):
    def run(command):
        if "fast==1.0" in command:
            raise CommandFailed("ERROR: No matching distribution found for fast==1.0")

    wanted = "not installed: ERROR: No matching distribution found for fast==1.0"
    assert setup(known={"fast": environment}, say=lambda text: None, run=run) == {"fast": wanted}
    assert environment.missing == wanted


def test_setup_makes_only_what_is_asked(environment):
    assert setup(["other"], known={"fast": environment}, say=pytest.fail, run=pytest.fail) == {}


def test_the_line_with_the_error_is_told():
    code = "import sys; sys.exit('note: first\\nERROR: what went wrong\\nnote: last')"
    with pytest.raises(CommandFailed, match="^ERROR: what went wrong$"):
        run_command([sys.executable, "-c", code])
    run_command([sys.executable, "-c", ""])


def test_our_own_environment_is_this_one():
    assert python_of(OWN) == (sys.executable, None)
