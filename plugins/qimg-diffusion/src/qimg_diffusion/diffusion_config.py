"""Settings of `latent-diffusion` (imports qimg_core)."""

from __future__ import annotations

from attrs import frozen

from qimg_circuits.observables.adaptive import MOST_WIRES
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_diffusion.autoencoder import COMPRESSORS
from qimg_diffusion.denoise import WEIGHTINGS
from qimg_diffusion.proposals import DEEPEST, MOST_BITS
from qimg_diffusion.readouts import check_readout
from qimg_diffusion.schedule import visited

STARTS = ("noise", "circuit")


@frozen(kw_only=True)
class LatentDiffusionConfig:
    """Settings of `qimg_diffusion.latent_diffusion.LatentDiffusion`.

    Args:
        arm: which form of the model. With ``start="noise"`` the arms differ in the denoiser's map, else in the source
            of the starting latents.
        size: height and width of an image, a multiple of 4.
        channels: 1 or 3.
        classes: labels 0 to classes - 1.
        compressor: ``vae`` (trained) or ``pca`` (computed).
        compressor_width: channels of the autoencoder's first convolution.
        compressor_share: share of the training steps that train the autoencoder.
        compressor_batch: images a step of it.
        compressor_rate: its largest learning rate.
        compressor_prior: weight of the prior term in its loss.
        compressor_contrast: factor of its decoder's logits when images are drawn.
        latent: length of the vectors.
        frames: ``all`` shifts and scales all vectors alike; ``class`` whitens those of each class.
        embedding: length of the class embedding.
        wires: of the denoiser's circuit, 2 to 10.
        layers: how often angles are uploaded; every layer has its own.
        observables: trained matrices over all wires, up to 6 of them.
        readout: what is measured beside them, see `qimg_diffusion.readouts.readout`; ``diagonal`` takes one basis.
        neighbours: wires of a sliding window.
        start: what sampling starts from. ``noise``: the session's normal numbers. ``circuit``: latents made of a
            circuit's bit strings, one wire for each, up to 16; the denoiser is classical then, in every arm.
        start_layers: of that circuit.
        start_share: of the steps after the compressor's, for that circuit.
        start_rate: its largest learning rate.
        pool: strings that are sampled.
        depth: strings for one latent number, 1 to 16.
        times: T, of the schedule.
        weighting: of the loss: ``noise`` or ``velocity``, see `qimg_diffusion.denoise.noise_loss`.
        batch: vectors a training step of the denoiser.
        rate: its largest learning rate.
        observable_rate: that of the observables' entries.
        decay: of the weights.
        average: of the running mean of the weights that sampling uses.
        label_drop: share of labels hidden in training, for guidance.
        sample_steps: of DDIM, up to T.
        guidance: 1 is none.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    size: int = 28
    channels: int = 1
    classes: int = 10
    compressor: str = "vae"
    compressor_width: int = 20
    compressor_share: float = 0.34
    compressor_batch: int = 128
    compressor_rate: float = 2e-3
    compressor_prior: float = 0.1
    compressor_contrast: float = 1.5
    latent: int = 16
    frames: str = "all"
    embedding: int = 8
    wires: int = 8
    layers: int = 5
    observables: int = 0
    readout: str = "pairs"
    neighbours: int = 2
    start: str = "noise"
    start_layers: int = 3
    start_share: float = 0.1
    start_rate: float = 0.05
    pool: int = 4096
    depth: int = 8
    times: int = 1000
    weighting: str = "velocity"
    batch: int = 256
    rate: float = 4e-3
    observable_rate: float = 1e-2
    decay: float = 1e-4
    average: float = 0.998
    label_drop: float = 0.1
    sample_steps: int = 30
    guidance: float = 1.3
    sample_batch: int = 256

    def __attrs_post_init__(self) -> None:
        named = {
            "compressor": COMPRESSORS,
            "frames": ("all", "class"),
            "start": STARTS,
            "weighting": WEIGHTINGS,
        }
        for name, known in named.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(f"{name}: wanted one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 2 <= self.wires <= 10 or min(self.layers, self.latent, self.start_layers) < 1:
            raise ConfigurationError(
                "wanted 2 to 10 wires, and layers, start_layers and latent of 1 or more, got "
                f"{self.wires}, {self.layers}, {self.start_layers}, {self.latent}"
            )
        if self.observables < 0 or (self.observables and self.wires > MOST_WIRES):
            raise ConfigurationError(
                f"wanted observables >= 0, on up to {MOST_WIRES} wires, got {self.observables} on {self.wires}"
            )
        check_readout(self.readout, self.wires, neighbours=self.neighbours)
        if self.readout == "global" and not self.observables:
            raise ConfigurationError(
                "readout global: wanted observables of 1 or more, got 0", hint="--set observables=16"
            )
        if not 0 < self.compressor_share < 1 or not 0 < self.start_share < 1:
            raise ConfigurationError(
                "wanted compressor_share and start_share between 0 and 1, got "
                f"{self.compressor_share} and {self.start_share}"
            )
        if self.start == "circuit":
            if not 2 <= self.latent <= MOST_BITS or not 1 <= self.depth <= DEEPEST or self.pool < 1:
                raise ConfigurationError(
                    f"a start of bit strings takes 2 to {MOST_BITS} latents, a depth of 1 to {DEEPEST} and a pool, got "
                    f"{self.latent}, {self.depth} and {self.pool}"
                )
        visited(self.times, self.sample_steps)
