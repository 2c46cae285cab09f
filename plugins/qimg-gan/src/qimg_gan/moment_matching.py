"""`latent-mmd`: the circuit of `latent-gan`, trained by a kernel instead of a critic (imports qimg_core, torch).

A generative moment matching network (Li, Swersky and Zemel, arXiv:1502.02761; Dziugaite et al., arXiv:1505.03906): the
loss is the unbiased squared MMD between latent vectors that the net makes and those of real images. With classes it is
the MMD of vector and class together: the kernel times 1 for equal classes and 0 for others. The kernel is a quantum one
or the Gaussian one of the same phases; neither has trainable numbers. It belongs to training alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from attrs import fields, frozen
from torch import nn

from qimg_circuits.quantum_kernels import squared_mmd
from qimg_circuits.quantum_kernels_named import MOST_WIRES, Kernel
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, arm_field
from qimg_diffusion.optimise import learning_rate
from qimg_gan.adversarial import WATCH
from qimg_gan.latent import LatentConfig, LatentGan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.session import Session
    from qimg_gan.adversarial import Labels


@frozen(kw_only=True)
class MomentConfig:
    """Settings of `LatentMmd`. Those that are not here are those of `LatentConfig`.

    Args:
        arm: which form of the model; twin and bypass take the Gaussian kernel, separable takes a kernel without
            entangling gates.
        kernel: fidelity, projected or gaussian, of the other arms.
        kernel_scale: radians for a standard deviation of the latents; 0 for 1 / sqrt(latent).
        kernel_entangled: with the phases of neighbours in the kernel.
        rungs: the mean of so many powers of the kernel is taken: k, k^2, k^4, ...
        latent: length of the latent vectors, and wires of the kernel, up to 12.
        batch: vectors a training step, made and real each.
    """

    arm: Arm = arm_field()
    kernel: str = "fidelity"
    kernel_scale: float = 0.0
    kernel_entangled: bool = True
    rungs: int = 3
    size: int = 28
    channels: int = 1
    classes: int = 10
    latent: int = 8
    noise: int = 8
    wires: int = 6
    layers: int = 4
    compressor_width: int = 16
    compressor_share: float = 0.3
    compressor_batch: int = 128
    compressor_rate: float = 2e-3
    batch: int = 128
    rate: float = 3e-3
    average: float = 0.99
    sample_batch: int = 256
    critic_rate: ClassVar[float] = 0.0

    def __attrs_post_init__(self) -> None:
        LatentConfig(**{f.name: getattr(self, f.name) for f in fields(LatentConfig) if f.name in _SHARED})
        if not 1 <= self.latent <= MOST_WIRES or not 1 <= self.rungs <= 6:
            raise ConfigurationError(
                f"wanted a latent of 1 to {MOST_WIRES} and 1 to 6 rungs, got {self.latent} and {self.rungs}"
            )
        if self.batch < 2 or self.kernel_scale < 0:
            raise ConfigurationError(
                f"wanted a batch of 2 or more and a kernel_scale from 0 up, got {self.batch} and {self.kernel_scale}"
            )
        _ = self.used_kernel  # an unknown kernel is refused now

    @property
    def used_kernel(self) -> Kernel:
        """The kernel of this arm."""
        named = Kernel(
            kind=self.kernel,
            wires=self.latent,
            scale=self.kernel_scale or None,
            entangled=self.kernel_entangled and self.arm is not Arm.SEPARABLE,
            powers=tuple(1 << r for r in range(self.rungs)),
        )
        if self.arm in (Arm.TWIN, Arm.BYPASS):
            from attrs import evolve

            return evolve(named, kind="gaussian")
        return named


_SHARED = {f.name for f in fields(MomentConfig)}


def moment_loss(
    session: Session, kernel: Kernel, made: torch.Tensor, real: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """The unbiased squared MMD of (vector, class); a scalar, 0 on average where both have one law.

    Args:
        session: runs the circuits, one request.
        kernel: on vectors.
        made: (n, d), differentiable.
        real: (n, d).
        labels: (n,) of both; all alike where there are no classes.
    """
    n = len(made)
    classes = torch.cat([labels, labels])
    k = kernel.matrix(session, torch.cat([made, real])) * (classes[:, None] == classes[None])
    loss: torch.Tensor = squared_mmd(k[:n, :n], k[:n, n:], k[n:, n:], unbiased=True)
    return loss


class LatentMmd(LatentGan):
    """See the module's docstring. Twin, separable, frozen form and bypass of the circuit are those of `LatentGan`."""

    name = "latent-mmd"
    method = "moment matching with a kernel"
    config_type: ClassVar[type[Any]] = MomentConfig
    weights_format = "latent-mmd/1"

    def build_critic(self) -> nn.Module:
        """None is needed: one number that nothing trains, for what this class inherits."""
        return nn.Linear(1, 1, bias=False)

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned, and a session that cannot train.

        Raises:
            ConfigurationError: a quantum kernel with shots or noise, whose slope cannot be had.
            DataError: see `AdversarialGenerator`.
        """
        sampled = self.session.shots is not None or self.session.noise_model is not None
        if self.config.used_kernel.quantum and sampled:
            raise ConfigurationError(
                f"the {self.config.kernel} kernel trains on exact numbers, this session has shots or noise",
                hint="--set kernel=gaussian, or train without shots and noise; images can be made with them",
            )
        super().check_images(images)

    def adversarial_steps(
        self, real: Callable[[Labels], torch.Tensor], images: ImageSource, steps: int, *, before: int
    ) -> Iterator[TrainStep]:
        """Lower the discrepancy; arguments as in `AdversarialGenerator`."""
        c: MomentConfig = self.config
        kernel = c.used_kernel
        known = None if images.labels is None else np.array(images.labels, dtype=np.int64)
        labels = known if c.classes > 1 and known is not None else np.zeros(images.n, dtype=np.int64)
        while (k := self.optimiser.step) < steps:
            rng = self.rng("batch", k)
            chosen = rng.integers(0, images.n, c.batch)
            true, y = real(chosen), torch.from_numpy(labels[chosen])
            fake = self.net(self._noise(rng), y)
            loss = moment_loss(self.session, kernel, fake, true, y)
            metrics = {"loss": self.optimiser.descend(loss, factor=learning_rate(k, steps, floor=0.2))}
            if 4 * (k + 1) >= steps and (k + 1) % WATCH == 0:
                metrics |= self._watch([(fake.detach(), true, chosen)], labels, known, before + k + 1)
            yield self.stepped(before + k + 1, metrics)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        facts = {k: v for k, v in super().describe().items() if k != "critic"}
        return {**facts, "kernel": self.config.used_kernel.to_json()}
