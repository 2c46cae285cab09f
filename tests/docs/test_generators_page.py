"""The page of generators says what the generators say today."""

import importlib.util
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "generators_table.py"


@pytest.mark.slow
def test_the_page_is_what_the_recipe_writes():
    for plugin in ("qimg_diffusion", "qimg_gan", "qimg_simulator"):
        pytest.importorskip(plugin)
    spec = importlib.util.spec_from_file_location("generators_table", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.PAGE.read_text(encoding="utf-8") == recipe.page(), "python docs/recipes/generators_table.py"
