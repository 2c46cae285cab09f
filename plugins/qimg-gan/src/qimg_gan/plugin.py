"""What this distribution supplies to qimg (imports qimg_core only, never torch)."""

from __future__ import annotations

from typing import Any

from qimg_core.plugins import GeneratorSpec, hookimpl


@hookimpl
def qimg_generators() -> list[GeneratorSpec]:
    """The generators of this plugin."""
    return [
        GeneratorSpec(
            name="patch-gan",
            target="qimg_gan.patch:PatchGan",
            summary="small circuits make an image patch by patch, against a Wasserstein critic",
        ),
        GeneratorSpec(
            name="implicit-gan",
            target="qimg_gan.implicit:ImplicitGan",
            summary="a circuit is asked for one pixel after the other, by its coordinates",
        ),
        GeneratorSpec(
            name="frqi-gan",
            target="qimg_gan.frqi:FrqiGan",
            summary="one circuit holds the whole image: address wires in superposition and a colour wire",
        ),
        GeneratorSpec(
            name="prior-gan",
            target="qimg_gan.prior:PriorGan",
            summary="a classical Wasserstein GAN on the bit strings of a Born machine, sampled once",
        ),
        GeneratorSpec(
            name="latent-gan",
            target="qimg_gan.latent:LatentGan",
            summary="a circuit with noise in every layer makes latent vectors, a decoder makes them images",
        ),
        GeneratorSpec(
            name="latent-mmd",
            target="qimg_gan.moment_matching:LatentMmd",
            summary="the circuit of latent-gan, trained by a quantum kernel instead of a critic",
        ),
    ]


@hookimpl
def qimg_noise(context: dict[str, Any]) -> Any:
    """Quantum random numbers, where the user asked for the noise source ``qrng``."""
    if (context["source"] or "").partition(":")[0] != "qrng":
        return None
    from qimg_gan import qrng

    return qrng.qimg_noise(context)
