"""`Recipe`: a publication, its figures, what is expected here, and how it is run (imports attrs, qimg_core's values).

A published number and ours stand in one row. They are judged together only where they are the same quantity; where
they are not, `Figure.not_comparable` says why, and the band is for our own metric.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.generator import Arm


class Effort(StrEnum):
    """How much is spent."""

    QUICK = "quick"  # shows that everything runs; nothing is judged
    USUAL = "usual"  # hours at most, on one core
    PUBLISHED = "published"  # the publication's own settings, as far as they are known


@frozen(kw_only=True)
class Band:
    """Where a number of ours is expected.

    Args:
        low, high: ends, which belong to it; None: none on that side.
        source: where the band comes from, in words.
        data: the dataset that it is for, by name; None: for any.
    """

    low: float | None = None
    high: float | None = None
    source: str
    data: str | None = None

    def __attrs_post_init__(self) -> None:
        ends = [-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high]
        if not self.source or self.low is self.high is None or not ends[0] <= ends[1]:
            raise ConfigurationError(f"a band has a source, an end, and low <= high; got {self.low}, {self.high}")

    def holds(self, low: float, high: float) -> bool | None:
        """Is the interval within (True), outside (False), or across an end (None)?"""
        if not low <= high:  # NaN as well
            return False
        least = -math.inf if self.low is None else self.low
        most = math.inf if self.high is None else self.high
        if least <= low and high <= most:
            return True
        return False if high < least or low > most else None


# -- what is measured here ---------------------------------------------------------------------------------------


@frozen
class Metric:
    """A metric of `qimg_compare.scales` of one arm, mean over seeds."""

    arm: str
    metric: str


@frozen
class Difference:
    """A metric of one arm minus that of another at the same seeds, mean over seeds."""

    first: str
    second: str
    metric: str


@frozen
class BetterShare:
    """The share of seeds at which the first arm has the better value."""

    first: str
    second: str
    metric: str


@frozen
class Count:
    """Trained numbers of an arm: ``total``, ``layer``, ``circuit`` or ``observable``. Exact."""

    arm: str
    part: str


@frozen
class Entanglement:
    """Meyer-Wallach Q of a circuit at random angles; see `qimg_compare.reproduce.circuits`."""

    layers: int


@frozen
class NotMeasured:
    """Only shown as published."""


Measure = Metric | Difference | BetterShare | Count | Entanglement | NotMeasured


@frozen(kw_only=True)
class Figure:
    """One row.

    Args:
        name: what was measured here, in words; with `NotMeasured` what was published.
        published: the published number as it was given; None where there is none.
        definition: of the published number: metric, data, N.
        measure: what is measured here.
        bands: by effort; without one for an effort the row is shown and not judged.
        not_comparable: why published and ours are not the same quantity; empty where they are, or there is none.
    """

    name: str
    published: str | None = None
    definition: str = ""
    measure: Measure = NotMeasured()
    bands: Mapping[Effort, Band] = field(factory=dict, hash=False)
    not_comparable: str = ""


# -- how it is run -----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ArmRecipe:
    """One arm of the comparison.

    Args:
        name: in tables.
        arm: which form of the model.
        generator: None: that of the recipe.
        settings: beside those of the effort; of another generator: all of them but size, classes and channels.
        efforts: in which it takes part.
    """

    name: str
    arm: Arm
    generator: str | None = None
    settings: Mapping[str, Any] = field(factory=dict, hash=False)
    efforts: tuple[Effort, ...] = tuple(Effort)


@frozen(kw_only=True)
class Spending:
    """What one effort means.

    Args:
        steps: of the training of each arm.
        size: of the images in pixels.
        n: images of each run, fewer where the data have fewer test images.
        seeds: unless told otherwise.
        settings: of the generator.
    """

    steps: int
    size: int
    n: int
    seeds: int
    settings: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ImageRun:
    """A comparison of arms on images.

    Args:
        generator: which model.
        data: a dataset known by name; None: the caller has to give one.
        arms: the first is the circuit, ``reference`` is what it is held against.
        reference: name of a classical arm.
        primary: the metric of the comparison's verdict.
        metrics: the others.
        efforts: what each means.
        conditional: whether the models learn classes.
        fits: settings that follow from the data: ``size``, ``classes``, ``channels``, ``images``.
        wants: what data it takes, in words.
    """

    generator: str
    data: str | None
    arms: tuple[ArmRecipe, ...]
    reference: str
    primary: str
    metrics: tuple[str, ...]
    efforts: Mapping[Effort, Spending] = field(hash=False)
    conditional: bool = True
    fits: tuple[str, ...] = ("size", "classes", "channels")
    wants: str = "images with labels"


@frozen(kw_only=True)
class StateSpending:
    """What one effort means.

    Args:
        factor: on the usual steps.
        seeds: unless told otherwise.
        changes: of the settings of the diffusion tasks.
    """

    factor: float
    seeds: int
    changes: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class StateRun:
    """Experiments on ensembles of quantum states, by `qimg_diffusion.quddpm.reproduce`.

    Args:
        tasks: which.
        plain: those of them that take no ``changes``.
        efforts: what each means.
    """

    tasks: tuple[str, ...]
    plain: tuple[str, ...]
    efforts: Mapping[Effort, StateSpending] = field(hash=False)


@frozen(kw_only=True)
class Recipe:
    """A publication that can be tried again.

    Args:
        name: as asked for.
        source: authors, title, arXiv id.
        published: what was published, on which data, in words.
        differs: what is done otherwise here, in words.
        run: how.
        figures: rows of the table; of a `StateRun`, bands for its figures by ``task: name``.
    """

    name: str
    source: str
    published: str
    differs: tuple[str, ...]
    run: ImageRun | StateRun
    figures: tuple[Figure, ...]
