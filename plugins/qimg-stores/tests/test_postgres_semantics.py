"""What every ledger does, done by the one in PostgreSQL: the core's own cases against a real server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from qimg_stores.postgres_making import make

CASES = Path(__file__).parents[3] / "tests" / "ledger"


def load(name):
    spec = importlib.util.spec_from_file_location(f"cases_of_{name}", CASES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if CASES.is_dir():
    semantics = load("test_ledger_semantics")
    globals().update({name: case for name, case in vars(semantics).items() if name.startswith("test_")})
    fill = load("conftest").fill
else:

    def test_the_cores_cases():
        pytest.skip("the core's tests are not here")


@pytest.fixture
def ledger(postgres, tmp_path):
    with make(postgres.uri(folder=tmp_path)) as made:
        yield made
