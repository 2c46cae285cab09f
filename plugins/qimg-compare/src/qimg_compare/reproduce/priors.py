"""Recipes in which a circuit gives the latents of a classical GAN (imports recipe; data alone)."""

from __future__ import annotations

from qimg_compare.reproduce.diffusion import INCEPTION
from qimg_compare.reproduce.recipe import (
    ArmRecipe,
    Band,
    BetterShare,
    Difference,
    Effort,
    Figure,
    ImageRun,
    Recipe,
    Spending,
)
from qimg_core.generator import Arm

_METRICS = ("frechet", "frechet_ratio", "recall", "coverage", "class_accuracy", "nn_ratio")
_DIRECTION = "the direction that was published, nothing more: better means below 0"


def _bypass(control: str) -> ArmRecipe:
    return ArmRecipe(name=control, arm=Arm.BYPASS, settings={"control": control})


STEEL = Recipe(
    name="steel",
    source="IonQ and Hyundai, steel microstructures, a circuit as prior of a classical GAN, arXiv:2504.08728 (2025)",
    published="MMD lower than with a Bernoulli prior in 70 % of samples, five-channel EBSD maps of ferrite and bainite",
    differs=(
        "other data: the published maps are not public; grey or colour images of one's own, such as NEU steel surfaces",
        "controls beside the Bernoulli prior: a Gaussian one, and a copula with the circuit's marginals and pairs",
        "the circuit's size is not known here: 12 wires, 3 layers",
        "exact simulation, sampled once (trapped ions there for some)",
    ),
    run=ImageRun(
        generator="prior-gan",
        data=None,
        wants="images of steel with labels, e.g. the NEU surface defects",
        arms=(
            ArmRecipe(name="quantum", arm=Arm.QUANTUM),
            ArmRecipe(name="twin", arm=Arm.TWIN),
            _bypass("bernoulli"),
            _bypass("gaussian"),
        ),
        reference="bernoulli",
        primary="kid",
        metrics=_METRICS,
        efforts={
            Effort.QUICK: Spending(steps=10, size=32, n=100, seeds=1),
            Effort.USUAL: Spending(steps=2000, size=32, n=2000, seeds=3),
            Effort.PUBLISHED: Spending(steps=10_000, size=64, n=2000, seeds=10),
        },
    ),
    figures=(
        Figure(
            name="share of seeds with a lower KID than with the Bernoulli prior",
            published="0.70",
            definition="share of samples with a lower MMD; kernel and size of a sample are not known here",
            measure=BetterShare("quantum", "bernoulli", "kid"),
            not_comparable="other images, and a share of seeds is not a share of samples",
        ),
        Figure(
            name="KID, circuit minus Bernoulli prior",
            measure=Difference("quantum", "bernoulli", "kid"),
            bands={e: Band(high=0.0, source=_DIRECTION) for e in (Effort.USUAL, Effort.PUBLISHED)},
        ),
        Figure(name="KID, circuit minus Gaussian prior", measure=Difference("quantum", "gaussian", "kid")),
        Figure(name="KID, circuit minus copula", measure=Difference("quantum", "twin", "kid")),
    ),
)

_UNTRAINED = {"prior_share": "0"}

GAN_NOISE = Recipe(
    name="gan-noise",
    source="GAN_QN, strings of an entangling circuit as the noise of a classical GAN, arXiv:2507.01886 (2025)",
    published="FID up to 17 % lower than with Gaussian noise (BigGAN, CIFAR-10), 16 qubits, on IBM devices",
    differs=(
        "other data and a much smaller GAN",
        "12 wires simulated exactly; the circuit stays as it started, as its strings are noise and not a learned prior",
        (
            "controls: a copula with the circuit's marginals and pairs, and fair bits of a pseudo-random generator in "
            "the same map; fair bits of a quantum random number service are `control=qrng` in a plan of one's own"
        ),
    ),
    run=ImageRun(
        generator="prior-gan",
        data="mnist",
        arms=(
            ArmRecipe(name="quantum", arm=Arm.QUANTUM, settings=_UNTRAINED),
            ArmRecipe(name="twin", arm=Arm.TWIN, settings=_UNTRAINED),
            _bypass("gaussian"),
            _bypass("prng"),
        ),
        reference="gaussian",
        primary="kid",
        metrics=_METRICS,
        efforts={
            Effort.QUICK: Spending(steps=10, size=28, n=200, seeds=1),
            Effort.USUAL: Spending(steps=2000, size=28, n=2000, seeds=3),
            Effort.PUBLISHED: Spending(steps=20_000, size=28, n=2000, seeds=10),
        },
    ),
    figures=(
        Figure(
            name="Frechet distance, circuit minus Gaussian noise",
            published="up to 17 % lower",
            definition="FID, Inception features, CIFAR-10, BigGAN, the best of several",
            measure=Difference("quantum", "gaussian", "frechet"),
            bands={e: Band(high=0.0, source=_DIRECTION) for e in (Effort.USUAL, Effort.PUBLISHED)},
            not_comparable=f"{INCEPTION}; other images and another GAN",
        ),
        Figure(
            name="Frechet distance, circuit minus pseudo-random bits",
            measure=Difference("quantum", "prng", "frechet"),
        ),
        Figure(name="Frechet distance, circuit minus copula", measure=Difference("quantum", "twin", "frechet")),
    ),
)
