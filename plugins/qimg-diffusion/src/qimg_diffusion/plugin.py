"""What this distribution supplies to qimg (imports qimg_core only, never torch)."""

from __future__ import annotations

from qimg_core.hooks import DatasetSpec, GeneratorSpec, hookimpl


@hookimpl
def qimg_generators() -> list[GeneratorSpec]:
    """The generators of this plugin."""
    return [
        GeneratorSpec(
            name="hybrid-unet",
            target="qimg_diffusion.hybrid_unet:HybridUNet",
            summary="class-conditional U-Net by flow matching, a circuit modulates its bottleneck",
            weights={
                "mnist": "qimg_diffusion:weights/hybrid-unet-mnist.safetensors",
                "fashion": "qimg_diffusion:weights/hybrid-unet-fashion.safetensors",
            },
        ),
        GeneratorSpec(
            name="quantum-latent-flow",
            target="qimg_diffusion.latent_flow:LatentFlow",
            summary="a circuit of some 3,800 numbers is the velocity field of a flow in 16 latent dimensions",
            weights={
                "mnist": "qimg_diffusion:weights/quantum-latent-flow-mnist.safetensors",
                "mnist-global": "qimg_diffusion:weights/quantum-latent-flow-mnist-global.safetensors",
            },
        ),
        GeneratorSpec(
            name="hybrid-unet-2602.03405",
            target="qimg_diffusion.paper_2602.model:PaperUNet",
            summary="the published model of arXiv:2602.03405, as released",
        ),
        GeneratorSpec(
            name="latent-diffusion",
            target="qimg_diffusion.latent_diffusion:LatentDiffusion",
            summary="a circuit guesses the noise in 16 latent dimensions, or its bit strings are the start",
        ),
        GeneratorSpec(
            name="quddpm",
            target="qimg_diffusion.quddpm.model:QuDDPM",
            summary="quantum states by denoising: T circuits with measured ancillas, after arXiv:2310.05866",
        ),
        GeneratorSpec(
            name="depolarising-latent",
            target="qimg_diffusion.depolarising:DepolarisingLatent",
            summary="principal components as states of 4 wires, by undoing depolarisation, after arXiv:2411.17608",
        ),
    ]


@hookimpl
def qimg_datasets() -> list[DatasetSpec]:
    """Ensembles of states for ``quddpm``."""
    target = "qimg_diffusion.quddpm.ensembles:open_"
    return [
        DatasetSpec(name="states-cluster-1", target=f"{target}cluster_1", summary="one-wire states around |0>"),
        DatasetSpec(name="states-cluster-2", target=f"{target}cluster_2", summary="two-wire states around |00>"),
        DatasetSpec(name="states-circle", target=f"{target}circle", summary="one-wire states of real amplitudes"),
        DatasetSpec(name="states-ising-4", target=f"{target}ising", summary="ground states of an Ising chain"),
    ]
