"""What this distribution supplies to qimg (imports qimg_core only, never torch)."""

from __future__ import annotations

from qimg_core.plugins import GeneratorSpec, hookimpl


@hookimpl
def qimg_generators() -> list[GeneratorSpec]:
    """The generators of this plugin."""
    return [
        GeneratorSpec(
            name="hybrid-unet",
            target="qimg_diffusion.hybrid_unet:HybridUNet",
            summary="class-conditional U-Net by flow matching, a circuit modulates its bottleneck",
            weights={"mnist": "qimg_diffusion:weights/hybrid-unet-mnist.safetensors"},
        ),
        GeneratorSpec(
            name="quantum-latent-flow",
            target="qimg_diffusion.latent_flow:LatentFlow",
            summary="a circuit of some 3,800 numbers is the velocity field of a flow in 16 latent dimensions",
            weights={"mnist": "qimg_diffusion:weights/quantum-latent-flow-mnist.safetensors"},
        ),
        GeneratorSpec(
            name="hybrid-unet-2602.03405",
            target="qimg_diffusion.paper_2602.model:PaperUNet",
            summary="the published model of arXiv:2602.03405, as released",
        ),
    ]
