"""`hybrid-unet`: a class-conditional U-Net whose bottleneck is modulated by a circuit (imports qimg_core, torch).

The coarsest features, pooled to a 2x2 grid, and the time and class embedding become 2 n angles; a
re-uploading circuit on n wires is measured by adaptive non-local observables (Lin et al.,
arXiv:2504.13414); what they say scales and shifts the same features. The circuit is never the only
path, so the arms differ in this layer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import nn

from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_diffusion.base import FlowGenerator, seeded
from qimg_diffusion.inversion import estimate_noise
from qimg_diffusion.layers import ArmMap, ClassicalMap, QuantumMap, count, reuploading, without_entanglers
from qimg_diffusion.readouts import check_readout
from qimg_diffusion.unet import UNet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qimg_core.images import Images


@frozen(kw_only=True)
class HybridUNetConfig:
    """Settings of `HybridUNet`.

    Args:
        arm: which form of the model.
        size: height and width of an image, a multiple of 4.
        channels: 1 or 3.
        classes: labels 0 to classes - 1.
        width: channels at the finest scale, a multiple of 4.
        wires: of the circuit, 2 to 6.
        layers: how often the angles are uploaded.
        observables: trained matrices over all wires.
        readout: what is measured beside them: ``pairs`` (a matrix on every pair of wires), ``sliding`` (on neighbours),
            ``global`` (nothing), or ``diagonal``: as pairs, all matrices diagonal, which takes one basis.
        neighbours: wires of a sliding window.
        train_observables: false keeps their entries as they are drawn: the fixed observable of an ablation.
        skips: false cuts the connections past the coarsest scale, so that all must go through it.
        batch: images a training step.
        rate: largest learning rate.
        observable_rate: that of the observables' entries.
        decay: of the weights.
        average: of the running mean of the weights that sampling uses.
        label_drop: share of labels hidden in training, for guidance.
        times: law of the training times, see `qimg_diffusion.flow.draw_times`.
        sample_steps: of the solver.
        method: of the solver, see `qimg_diffusion.flow.solve`.
        guidance: 1 is none.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    size: int = 28
    channels: int = 1
    classes: int = 10
    width: int = 16
    wires: int = 6
    layers: int = 3
    observables: int = 16
    readout: str = "pairs"
    neighbours: int = 2
    train_observables: bool = True
    skips: bool = True
    batch: int = 64
    rate: float = 2e-3
    observable_rate: float = 2e-3
    decay: float = 0.01
    average: float = 0.999
    label_drop: float = 0.1
    times: str = "logit-normal"
    sample_steps: int = 25
    method: str = "euler"
    guidance: float = 1.35
    sample_batch: int = 256

    def __attrs_post_init__(self) -> None:
        if self.size % 4 or self.size < 8 or self.width % 4 or self.width < 4:
            raise ConfigurationError(f"size and width: wanted multiples of 4, got {self.size} and {self.width}")
        if not 2 <= self.wires <= 6 or min(self.layers, self.observables) < 1:
            raise ConfigurationError(
                f"wanted 2 to 6 wires, and layers and observables, got {self.wires}, {self.layers}, {self.observables}"
            )
        check_readout(self.readout, self.wires, neighbours=self.neighbours)


class HybridUNet(FlowGenerator):
    """See the module's docstring. Bypass: the coarsest features pass unchanged (scale 1, shift 0)."""

    name = "hybrid-unet"
    config_type = HybridUNetConfig
    weights_format = "hybrid-unet/1"

    def build(self) -> nn.Module:
        """The U-Net; all of it but the layer starts the same in every arm."""
        c: HybridUNetConfig = self.config
        middle = self._middle()
        with seeded(self.session, "unet"):
            net = UNet(channels=c.channels, width=c.width, classes=c.classes, middle=middle, skips=c.skips)
        channels_last: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return channels_last  # a quarter faster on a CPU

    def _middle(self) -> ArmMap | None:
        c: HybridUNetConfig = self.config
        if c.arm is Arm.BYPASS:
            return None
        n_in, n_out = UNet.features(c.width), 8 * c.width
        encoder, circuit, initial, observable = reuploading(
            c.wires,
            c.layers,
            [(tuple(range(c.wires)), c.observables)],
            shared=True,
            seed=self.session.seed_for("init"),
            readout=c.readout,
            neighbours=c.neighbours,
        )
        with seeded(self.session, "layer"):
            layer: ArmMap = QuantumMap(
                self.session,
                n_in=n_in,
                n_out=n_out,
                encoder=encoder,
                circuit=without_entanglers(circuit) if c.arm is Arm.SEPARABLE else circuit,
                observable=observable,
                initial=initial,
                seed=self.session.seed_for("init", "observable"),
                bounded=True,
                frozen=c.arm is Arm.FROZEN,
                fixed_observable=not c.train_observables,
            )
            if c.arm is Arm.TWIN:
                layer = ClassicalMap(n_in, n_out, parameters=count(layer))
            nn.init.normal_(layer.read_out.weight, std=0.05)  # type: ignore[union-attr, arg-type]
        return layer

    @property
    def layer(self) -> ArmMap | None:
        """The bottleneck's map."""
        found: Any = self.net.middle
        return found  # type: ignore[no-any-return]

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(channels, height, width): as the net takes them."""
        return (self.config.channels, self.config.size, self.config.size)

    def to_flow(self, pixels: npt.NDArray[np.float32], labels: torch.Tensor) -> torch.Tensor:
        """[0, 1] -> [-1, 1], channels first."""
        return torch.from_numpy(pixels).permute(0, 3, 1, 2) * 2 - 1

    def to_pixels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[-1, 1] -> [0, 1], channels last."""
        return (x.permute(0, 2, 3, 1) + 1) / 2

    def invert(self, images: Images) -> npt.NDArray[np.float32]:
        """Images back to their initial noise, an estimate: see `qimg_diffusion.inversion`. Labels may be missing.

        Raises:
            DataError: images of another shape, or of a class that the model does not know.
        """
        return estimate_noise(self, images)
