"""Recipes of published generators whose circuit draws the image (imports recipe; data alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_compare.reproduce.diffusion import INCEPTION
from qimg_compare.reproduce.recipe import (
    ArmRecipe,
    Band,
    Difference,
    Effort,
    Figure,
    ImageRun,
    Metric,
    Recipe,
    Spending,
)
from qimg_core.generator import Arm

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN = "one training of our first implementation, MNIST 16x16, 2,000 images, one seed"
_REMEASURED = "one class at a time, 28x28, Inception features, as measured by the authors of CoQui"


def _band(low: float | None, high: float | None, found: str) -> Mapping[Effort, Band]:
    """Around one training of ours, wide, as one seed says little; for the usual effort on MNIST alone."""
    return {Effort.USUAL: Band(low=low, high=high, source=f"{_OWN}: {found}", data="mnist")}


PQWGAN = Recipe(
    name="pqwgan",
    source=(
        "S. L. Tsang, M. T. West, S. M. Erfani, M. Usman, Hybrid Quantum-Classical Generative Adversarial Network for "
        "High Resolution Image Generation, IEEE TQE 4 (2023), arXiv:2212.11614"
    ),
    published="Wasserstein distance during training on two or three classes; FID measured by others (CoQui, 2026)",
    differs=(
        "all classes of the data, without labels (two or three classes, 1,000 images there)",
        "the critic is convolutional (784-512-256-1 there)",
        (
            "usual: 16x16 and 16 patches, the settings of all generators here; published: 28x28, 28 patches, batch 25, "
            "critic at 0.0002, five critic steps, 400 steps of the generator (50 epochs there)"
        ),
    ),
    run=ImageRun(
        generator="patch-gan",
        data="mnist",
        conditional=False,
        arms=tuple(ArmRecipe(name=a.value, arm=a) for a in (Arm.QUANTUM, Arm.TWIN, Arm.BYPASS)),
        reference="twin",
        primary="kid",
        metrics=("frechet", "frechet_ratio", "precision", "recall", "coverage", "class_entropy", "nn_ratio"),
        efforts={
            Effort.QUICK: Spending(steps=20, size=16, n=200, seeds=1, settings={"patches": 16, "scale": "max"}),
            Effort.USUAL: Spending(steps=2500, size=16, n=2000, seeds=3, settings={"patches": 16, "scale": "max"}),
            Effort.PUBLISHED: Spending(
                steps=400,
                size=28,
                n=2000,
                seeds=3,
                settings={
                    "patches": 28,
                    "scale": "max",
                    "batch": 25,
                    "critic_steps": 5,
                    "rate": "0.01",
                    "critic_rate": "0.0002",
                },
            ),
        },
    ),
    figures=(
        Figure(
            name="Frechet distance over its real-to-real floor",
            published="137 to 223 (MNIST), 97 to 275 (Fashion-MNIST)",
            definition=f"FID, {_REMEASURED}",
            measure=Metric("quantum", "frechet_ratio"),
            not_comparable=f"{INCEPTION}; other images (one class each)",
        ),
        Figure(
            name="recall",
            measure=Metric("quantum", "recall"),
            bands=_band(0.0, 0.1, "0.003; such models tend to the mean image"),
        ),
        Figure(
            name="coverage",
            measure=Metric("quantum", "coverage"),
            bands=_band(0.0, 0.25, "0.10"),
        ),
        Figure(name="Frechet distance, quantum minus twin", measure=Difference("quantum", "twin", "frechet")),
    ),
)

_SMALL = {"features": 3, "layers": 6}

IMPLICIT = Recipe(
    name="implicit",
    source="CoQui, coordinate-conditioned implicit quantum GAN (2026); its arXiv id and full text are not known here",
    published="FID 40.15 +- 3.45 on ten classes of MNIST at 28x28, 5 qubits, 20 layers; 16 to 26 one class at a time",
    differs=(
        "classes are asked for by label; whether they are there in the ten-class figure is not known here",
        (
            "usual: 16x16, 4 wires, 6 layers; published: 28x28, 5 wires, 20 layers, batch 5, 200,000 steps as there "
            "(1,000 images for 1,000 epochs there; here all images of the data)"
        ),
        "patch-gan and (at 16x16) frqi-gan stand in the same table, trained as long",
    ),
    run=ImageRun(
        generator="implicit-gan",
        data="mnist",
        arms=(
            *(ArmRecipe(name=a.value, arm=a) for a in (Arm.QUANTUM, Arm.TWIN, Arm.BYPASS)),
            ArmRecipe(name="patch", arm=Arm.QUANTUM, generator="patch-gan", settings={"patches": 16}),
            ArmRecipe(name="frqi", arm=Arm.QUANTUM, generator="frqi-gan", efforts=(Effort.QUICK, Effort.USUAL)),
        ),
        reference="twin",
        primary="kid",
        metrics=(
            "frechet",
            "frechet_ratio",
            "precision",
            "recall",
            "coverage",
            "class_accuracy",
            "class_jsd",
            "nn_ratio",
        ),
        wants="grey images with labels",
        efforts={
            Effort.QUICK: Spending(steps=20, size=16, n=200, seeds=1, settings=_SMALL),
            Effort.USUAL: Spending(steps=3000, size=16, n=2000, seeds=3, settings=_SMALL),
            Effort.PUBLISHED: Spending(
                steps=200_000, size=28, n=2000, seeds=3, settings={"features": 4, "layers": 20, "batch": 5}
            ),
        },
    ),
    figures=(
        Figure(
            name="Frechet distance over its real-to-real floor",
            published="40.15 +- 3.45 (ten classes), 16 to 26 (one class)",
            definition="FID, Inception features, MNIST 28x28",
            measure=Metric("quantum", "frechet_ratio"),
            not_comparable=INCEPTION,
        ),
        Figure(
            name="Frechet distance, quantum minus twin",
            published="twin 14 to 22 where the circuit has 16 to 26",
            definition="FID, Inception features, one class at a time",
            measure=Difference("quantum", "twin", "frechet"),
            not_comparable=INCEPTION,
        ),
        Figure(
            name="divergence of the class shares (JSD)",
            published="0.0041",
            definition="of the class shares, by a classifier that is not known here",
            measure=Metric("quantum", "class_jsd"),
            not_comparable="which classifier and logarithm is not known here",
        ),
        Figure(
            name="recall",
            published="precision 0.505, recall 0.467",
            definition="five nearest neighbours",
            measure=Metric("quantum", "recall"),
            bands=_band(0.3, 0.8, "0.54"),
            not_comparable="neighbours in which features is not known here",
        ),
        Figure(
            name="coverage",
            measure=Metric("quantum", "coverage"),
            bands=_band(0.35, None, "0.51"),
        ),
        *(
            Figure(
                name=f"coverage, implicit minus {name}",
                measure=Difference("quantum", name, "coverage"),
                bands=_band(0.0, None, "0.51 against 0.10"),
            )
            for name in ("patch", "frqi")
        ),
        Figure(
            name="class as asked",
            measure=Metric("quantum", "class_accuracy"),
            bands=_band(0.7, None, "0.87"),
        ),
    ),
)
