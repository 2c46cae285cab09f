"""From a recipe to a `ComparePlan`: data looked at, settings fitted to them (imports plan_file, recipe; not torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_compare.plan import SMALLEST
from qimg_compare.plan_file import parse_plan
from qimg_compare.reproduce.recipe import Effort, ImageRun
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from qimg_compare.plan import ComparePlan
    from qimg_compare.reproduce.recipe import ArmRecipe, Recipe, Spending
    from qimg_core.cli.app import App
    from qimg_core.datasets import ImageSource

MNIST, NETWORK = "mnist", "mnist-28"
"""The shipped feature network, used where its own training images are those of the recipe."""
IMAGES = 8096
"""That the published model of arXiv:2602.03405 learned."""
SEEDS = 10
"""Of every plan, of which the first are run: more of them later go on with the same plan."""


@frozen(kw_only=True)
class Prepared:
    """What will be run.

    Args:
        plan: of the comparison.
        seeds: the part of the plan's that is run.
        data: the known dataset that this is, whatever path it came from; None for any other.
    """

    plan: ComparePlan
    seeds: tuple[int, ...]
    data: str | None


def prepare(app: App, recipe: Recipe, *, data: str | None, effort: Effort, seeds: int | None) -> Prepared:
    """The plan of an image recipe.

    Args:
        app: knows the datasets.
        recipe: with an `ImageRun`.
        data: a name or path; None: the recipe's own.
        effort: which spending.
        seeds: how many; None: as the effort says.

    Raises:
        ConfigurationError: the recipe needs data and got none, or they are not on this machine.
        DataError: data without labels, with too few test images, or that the model cannot learn.
        UnknownName: no such dataset.
    """
    run = recipe.run
    assert isinstance(run, ImageRun)
    spending = run.efforts[effort]
    where = data if data is not None else run.data
    if where is None:
        raise ConfigurationError(
            f"{recipe.name} needs {run.wants}, and no dataset known by name has them",
            hint=f"qimg reproduce {recipe.name} --data FOLDER (IDX files, or PNGs in train/ and test/), or an .npz",
        )
    train, test = (open_data(app, where, split=split, size=spending.size) for split in ("train", "test"))
    if train.labels is None or test.labels is None:
        raise DataError(f"{recipe.name} needs {run.wants}; {train.name} has no labels")
    wanted = spending.seeds if seeds is None else seeds
    n = min(spending.n, test.n // 2)
    document = {
        "name": f"reproduce-{recipe.name}-{effort.value}-{train.digest.partition(':')[2][:8]}",
        "data": where,
        "size": spending.size,
        "seeds": max(SEEDS, wanted),
        "n": n,
        "allow_small": n < SMALLEST,
        "network": _network(train),
        "primary": run.primary,
        "metrics": list(run.metrics),
        "candidate": run.arms[0].name,
        "reference": run.reference,
        "matched": ["steps", "trials", "data"],
        "controls": ["real", "copy"],
        "generator": run.generator,
        "steps": spending.steps,
        "arms": {arm.name: _arm(arm, run, spending, train) for arm in run.arms if effort in arm.efforts},
    }
    plan = parse_plan(document)
    return Prepared(plan=plan, seeds=plan.seeds[:wanted], data=MNIST if _is_mnist(train) else None)


def _arm(arm: ArmRecipe, run: ImageRun, spending: Spending, train: ImageSource) -> dict[str, Any]:
    """The table of one arm; another generator has settings of its own, but learns the same images."""
    found = {
        "size": spending.size,
        "classes": train.n_classes if run.conditional else 1,
        "channels": train.shape[2],
        "images": min(IMAGES, train.n),
    }
    own = {} if arm.generator else spending.settings
    settings = {**{key: found[key] for key in run.fits}, **own, **arm.settings}
    table: dict[str, Any] = {"arm": arm.arm.value, "settings": settings}
    return {**table, "generator": arm.generator} if arm.generator else table


def _network(train: ImageSource) -> str:
    """The shipped network for the very images that it learned, at their own size; else one is trained on the data."""
    return NETWORK if _is_mnist(train) and "resized" not in train.provenance else "trained"


def _is_mnist(train: ImageSource) -> bool:
    """Are these MNIST's own files? Their digests are in the record of the network that learned them."""
    from qimg_metrics.features import shipped_record

    files = set(train.provenance.get("unpacked_files", {}).values())
    return bool(files) and files <= set(shipped_record(NETWORK)["dataset"]["files"].values())
