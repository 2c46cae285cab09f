"""The page of requirements says what the data files say, and its rows are those of the command."""

import importlib.util
import re
from pathlib import Path

import pytest

from qimg_ops.requirement import sections

RECIPE = Path(__file__).parents[3] / "docs" / "recipes" / "requirements_table.py"
ROWS = [row for section in sections() for row in section.rows]


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("requirements_table", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_recipe_writes(recipe):
    assert recipe.PAGE.read_text(encoding="utf-8") == recipe.page(), "python docs/recipes/requirements_table.py"


def test_every_row_is_there_once_and_links_lead_somewhere(recipe):
    text = recipe.PAGE.read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert [int(number) for number, *_ in table] == [row.number for row in ROWS]
    for (_, title, shown, page), row in zip(table, ROWS, strict=True):
        assert title == row.title
        assert ("not built" in shown) == bool(row.not_built)
        assert ("Lacks:" in shown) == bool(row.lacks)
        assert bool(page) == bool(row.page)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (recipe.PAGE.parent / target).is_file(), target


def test_the_counts_add_up(recipe):
    numbers = [int(n) for n in re.findall(r"\d+", recipe.counts())]
    assert numbers[0] == 213
    assert sum(numbers[1:]) == numbers[0]
    assert numbers[-1] == sum(bool(row.not_built) for row in ROWS)
