"""Recipes of published diffusion models (imports recipe; data alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_compare.reproduce.recipe import (
    ArmRecipe,
    Band,
    Count,
    Difference,
    Effort,
    Entanglement,
    Figure,
    ImageRun,
    Metric,
    Recipe,
    Spending,
    StateRun,
    StateSpending,
)
from qimg_core.generator import Arm

if TYPE_CHECKING:
    from collections.abc import Mapping

INCEPTION = "Inception weights do not come with this package, and a distance is only comparable within one network"
TRAINED = (Effort.USUAL, Effort.PUBLISHED)


def exactly(value: float, source: str, data: str | None = None) -> Mapping[Effort, Band]:
    """A band of one number, whatever is spent on training."""
    return dict.fromkeys(TRAINED, Band(low=value, high=value, source=source, data=data))


# Published from 300 to 500 states each. The standard deviation of Q over states, measured here from 5,000, is 0.157,
# 0.106, 0.087, 0.079 and 0.083 for one to five layers; the second number is twice the standard error of 300 of them.
_ENTANGLEMENT = {1: (0.6486, 0.018), 2: (0.7736, 0.012), 3: (0.7962, 0.010), 4: (0.8123, 0.009), 5: (0.8234, 0.010)}
_CODE = "counted in the released code, commit d4b58c5"
_CARD = "the model card's three seeds (1,265 steps): 0.079, 0.122 and 0.007"

PAPER_2602 = Recipe(
    name="2602.03405",
    source=(
        "J. Jo, S. Wishal, S. M. K. Ullah, S. Zeng, D. Dulal, Enhancing Quantum Diffusion Models for Complex Image "
        "Generation, arXiv:2602.03405 (2026)"
    ),
    published="FID about 110 to 160 on MNIST at 16x16 (8,096 images), 256 generated against 256 real; circuit metrics",
    differs=(
        "each image is sampled under the label that was asked for; the released code asks for class 0 throughout",
        "images are brought to 16x16 and then normalised (normalised at 28x28 and then resized there)",
        "usual: 1,265 steps, five of the hundred published epochs",
        "2,000 generated images against the test images, features of a small network trained on the same data",
        "no Inception network",
    ),
    run=ImageRun(
        generator="hybrid-unet-2602.03405",
        data="mnist",
        fits=("classes", "images"),
        arms=tuple(ArmRecipe(name=a.value, arm=a) for a in (Arm.QUANTUM, Arm.TWIN, Arm.BYPASS)),
        reference="twin",
        primary="kid",
        metrics=("frechet", "frechet_ratio", "recall", "coverage", "class_accuracy", "nn_ratio"),
        efforts={
            Effort.QUICK: Spending(steps=10, size=16, n=200, seeds=1),
            Effort.USUAL: Spending(steps=1265, size=16, n=2000, seeds=3),
            Effort.PUBLISHED: Spending(steps=25_300, size=16, n=2000, seeds=3),
        },
    ),
    figures=(
        Figure(
            name="Frechet distance over its real-to-real floor",
            published="110 to 160 (floor 8.79)",
            definition="FID, 2048 Inception features, 256 against 256 images; the floor from 2,000 against 2,000",
            measure=Metric("quantum", "frechet_ratio"),
            not_comparable=f"{INCEPTION}; at 256 images the estimate is biased upwards",
        ),
        Figure(
            name="coverage",
            measure=Metric("quantum", "coverage"),
            bands={Effort.USUAL: Band(low=0.0, high=0.25, source=_CARD, data="mnist")},
        ),
        Figure(name="class as asked", measure=Metric("quantum", "class_accuracy")),
        Figure(name="Frechet distance, quantum minus twin", measure=Difference("quantum", "twin", "frechet")),
        Figure(
            name="angles in the table of time and class",
            published="48,000",
            definition="10 times x 10 classes x 480 angles of the released code",
            measure=Count("quantum", "circuit"),
            bands=exactly(48_000, _CODE, data="mnist"),  # it grows with the classes
        ),
        Figure(
            name="numbers of the observables",
            published="8,192",
            definition="16 complex matrices of 16 x 16",
            measure=Count("quantum", "observable"),
            bands=exactly(8192, _CODE),
        ),
        *(
            Figure(
                name=f"Meyer-Wallach Q, {layers} layer{'s' if layers > 1 else ''}",
                published=f"{value:.4f}",
                definition="mean over 300 to 500 states at random angles, convolution and phase mixing on 4 qubits",
                measure=Entanglement(layers),
                bands=dict.fromkeys(
                    TRAINED,
                    Band(
                        low=round(value - wide, 4),
                        high=round(value + wide, 4),
                        source="the published value and twice the standard error of a mean over 300 states",
                    ),
                ),
            )
            for layers, (value, wide) in _ENTANGLEMENT.items()
        ),
    ),
)

_CLOSED = "a closed form, see docs/explanation/state-diffusion.md, and twice the spread at 1,000 states"

QUDDPM = Recipe(
    name="quddpm",
    source=(
        "B. Zhang, P. Xu, X. Chen, Q. Zhuang, Generative quantum machine learning via denoising diffusion "
        "probabilistic models, PRL 132, 100602 (2024), arXiv:2310.05866"
    ),
    published="mean fidelities, <Y>^2 and MMD on held-out states, recomputed from the authors' arrays",
    differs=(
        "500 states to learn (100 to 500 there)",
        (
            "usual: every outcome of the ancillas weighted (one drawn there), each circuit begins where the one before "
            "ended (random there), Adam at 0.03 (0.0005 there), and so fewer steps (1,001 to 5,001 a circuit there)"
        ),
        "published: one outcome drawn, random starts, Adam at 0.0005, ten times the usual steps",
        "without-targets is a control of ours and was not published",
    ),
    run=StateRun(
        tasks=("cluster-1", "cluster-2", "circle", "direct-transport", "one-shot-gan", "without-targets"),
        plain=("direct-transport", "one-shot-gan", "without-targets"),
        efforts={
            Effort.QUICK: StateSpending(factor=0.02, seeds=1),
            Effort.USUAL: StateSpending(factor=1.0, seeds=2),
            Effort.PUBLISHED: StateSpending(
                factor=10.0, seeds=2, changes={"outcomes": "sampled", "warm": False, "rate": 0.0005}
            ),
        },
    ),
    figures=(
        Figure(
            name="circle: Haar-random input, squared MMD, kernel F, unbiased",
            bands=dict.fromkeys(TRAINED, Band(low=-0.005, high=0.005, source=f"0: {_CLOSED}")),
        ),
        Figure(
            name="circle: Haar-random input, squared MMD, kernel F^2, unbiased",
            bands=dict.fromkeys(TRAINED, Band(low=0.03, high=0.055, source=f"1/24: {_CLOSED}")),
        ),
    ),
)
