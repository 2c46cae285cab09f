"""The recipes by name (imports recipe and the files that hold them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_compare.reproduce.adversarial import IMPLICIT, PQWGAN
from qimg_compare.reproduce.diffusion import PAPER_2602, QUDDPM
from qimg_compare.reproduce.priors import GAN_NOISE, STEEL
from qimg_core.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_compare.reproduce.recipe import Recipe

RECIPES: Mapping[str, Recipe] = {r.name: r for r in (PAPER_2602, QUDDPM, PQWGAN, IMPLICIT, STEEL, GAN_NOISE)}
"""In the order in which they are listed."""


def recipe_of(name: str) -> Recipe:
    """A recipe by name.

    Raises:
        UnknownName: the nearest is offered.
    """
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES, hint="`qimg reproduce` lists them")
    return RECIPES[name]
