"""`prior-gan`: a classical Wasserstein GAN whose latents are a Born machine's bit strings (imports qimg_core, torch).

After the steel-microstructure design (arXiv:2504.08728), QC-AAN (Rudolph et al., PRX 12, 031010) and the copula map of
arXiv:2507.01886: an entangling circuit, trained by MMD towards correlated strings of the images or left as it started,
is sampled once, in one request; its strings are an artefact with a digest, travel with the weights, and are the latents
of as many images as one likes (see `qimg_gan.noise`). The arms exchange where the strings come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import nn

from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm, Parameters, Workload, arm_field
from qimg_core.weights import check_state
from qimg_diffusion.optimise import learning_rate
from qimg_diffusion.torch_generator import seeded
from qimg_gan import noise as bits
from qimg_gan.adversarial import AdversarialGenerator
from qimg_gan.born import targets
from qimg_gan.critic import Critic
from qimg_gan.qrng import ANU
from qimg_gan.strings import PREFIX, Prior
from qimg_gan.upsampling import Upsampling, stages_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qimg_core.datasets import ImageSource
    from qimg_core.images import TrainStep
    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer
    from qimg_gan.adversarial import Array

CONTROLS = ("gaussian", "bernoulli", "prng", "qrng")
STRINGS = ("fresh", "cached")


@frozen(kw_only=True)
class PriorConfig:
    """Settings of `PriorGan`.

    Args:
        arm: where the strings come from: the entangling circuit (quantum); a classical copula with its marginals and
            pair correlations (twin); the circuit without two-wire gates (separable); the circuit untrained (frozen);
            what ``control`` says (bypass).
        control: the bypass: ``gaussian`` latents; ``bernoulli``: one fair bit for each; ``prng`` or ``qrng``: strings
            of fair bits from a pseudo-random generator or a quantum random number service, mapped as the circuit's.
        strings: ``fresh`` samples the prior anew in every run, from the seed in the weights; ``cached`` takes the
            strings that came with the weights, and no circuit runs. Numbers of ``qrng`` are always cached.
        pool: strings that are sampled.
        depth: strings for one latent number, 1 to 24.
        blocks: independent groups of latents; ``blocks * wires`` latents in all.
        wires: bits of a string, 2 to 14.
        layers: of the circuit. It has as many angles as its twin, the copula, has numbers where 6 layers = wires + 1.
        prior_share: of the training steps, for the circuit; 0 leaves it as it started.
        prior_rate: largest learning rate of the circuit.
        url: of the service, for ``qrng``.
        size: height and width of an image, a multiple of 4 (of 8 above 32).
        channels: 1 or 3.
        classes: 1 learns images without their class.
        width: channels of the generator's last features.
        batch: images a training step.
        rate: the generator's largest learning rate.
        critic_rate: the critic's.
        critic_width: its channels.
        critic_steps: of the critic before each of the generator.
        penalty: weight of the gradient penalty.
        average: of the running mean of the weights that sampling uses.
        sample_batch: images made together.
    """

    arm: Arm = arm_field()
    control: str = "gaussian"
    strings: str = "fresh"
    pool: int = 4096
    depth: int = 6
    blocks: int = 2
    wires: int = 11
    layers: int = 2
    prior_share: float = 0.2
    prior_rate: float = 0.05
    url: str = ANU
    size: int = 28
    channels: int = 1
    classes: int = 10
    width: int = 32
    batch: int = 32
    rate: float = 5e-4
    critic_rate: float = 5e-4
    critic_width: int = 32
    critic_steps: int = 3
    penalty: float = 10.0
    average: float = 0.99
    sample_batch: int = 256

    def __attrs_post_init__(self) -> None:
        if self.control not in CONTROLS or self.strings not in STRINGS:
            raise ConfigurationError(
                f"wanted a control of {', '.join(CONTROLS)} and strings {' or '.join(STRINGS)}, got {self.control!r} "
                f"and {self.strings!r}"
            )
        factor = 1 << stages_of(self.size)
        if self.size < 8 or self.size % factor or self.channels not in (1, 3) or self.width % 4 or self.width < 4:
            raise ConfigurationError(
                f"wanted a size from 8 that is a multiple of {factor}, 1 or 3 channels and a width that is a multiple "
                f"of 4, got {self.size}, {self.channels}, {self.width}"
            )
        if not 2 <= self.wires <= 14 or not 1 <= self.depth <= bits.DEEPEST or not 0 <= self.prior_share < 1:
            raise ConfigurationError(
                f"wanted 2 to 14 wires, a depth of 1 to {bits.DEEPEST} and a prior_share in [0, 1), got {self.wires}, "
                f"{self.depth}, {self.prior_share}"
            )
        if min(self.pool, self.blocks, self.layers, self.classes, self.critic_steps, self.batch) < 1:
            raise ConfigurationError(
                f"wanted pool, blocks, layers, classes, critic steps and batch of 1 or more, got {self.pool}, "
                f"{self.blocks}, {self.layers}, {self.classes}, {self.critic_steps}, {self.batch}"
            )

    @property
    def prior(self) -> str:
        """Where the latents come from: born, copula, or the control."""
        if self.arm is Arm.BYPASS:
            return self.control
        return "copula" if self.arm is Arm.TWIN else "born"

    @property
    def used_depth(self) -> int:
        """Strings for one latent number."""
        return 1 if self.prior == "bernoulli" else self.depth


class PriorGan(AdversarialGenerator):
    """See the module's docstring.

    The copula is fitted to strings of the trained circuit, so training a twin runs that circuit; making its images
    does not.
    """

    name = "prior-gan"
    config_type = PriorConfig
    weights_format = "prior-gan/1"
    sampling_settings = frozenset({"sample_batch", "strings"})

    def __init__(self, session: Session, config: PriorConfig) -> None:
        super().__init__(session, config)
        self.prior = Prior(session, config)

    def build(self) -> nn.Module:
        """The classical net, the same in every arm."""
        c: PriorConfig = self.config
        with seeded(self.session, "net"):
            return Upsampling(
                latent=c.blocks * c.wires, classes=c.classes, size=c.size, channels=c.channels, width=c.width
            )

    def build_critic(self) -> nn.Module:
        """As deep as the net."""
        c: PriorConfig = self.config
        stages = stages_of(c.size)
        return Critic(size=c.size, channels=c.channels, classes=c.classes, width=c.critic_width, stages=stages)

    def prepared(self, noise: torch.Tensor) -> torch.Tensor:
        """The session's noise chooses strings; Gaussian latents are that noise itself."""
        pool = self.prior.pool
        if pool is None:
            return noise.flatten(1)
        return bits.latents_of(bits.chosen(noise, torch.from_numpy(pool))).flatten(1)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(blocks, depth), one string each; (blocks, wires) for Gaussian latents."""
        c: PriorConfig = self.config
        return (c.blocks, c.wires if c.prior == "gaussian" else c.used_depth)

    @property
    def layer(self) -> nn.Module | None:
        """The circuit, where its strings are the latents."""
        return self.prior.born

    @property
    def quantum(self) -> QuantumLayer | None:
        """The circuit of the strings."""
        return None if self.prior.born is None else self.prior.born.quantum

    # -- training: first the circuit, then the net ------------------------------------------------

    def steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        """Train the circuit, sample its strings once, train the net on them."""
        prior, first = self.prior, self.prior.steps(steps)
        if prior.optimiser is not None and prior.optimiser.step < first:
            c: PriorConfig = self.config
            parts = (images.images(range(at, min(at + 4096, images.n))) for at in range(0, images.n, 4096))
            wanted = targets(parts, c.wires, self.session.seed_for("train", "projections"))
            while (k := prior.optimiser.step) < first:
                yield self.stepped(k + 1, {"loss": prior.descend(wanted, learning_rate(k, first))})
        prior.finish()
        yield from self.net_steps(images, steps - first, before=first)

    def begin(self) -> None:
        """See `AdversarialGenerator.begin`."""
        super().begin()
        self.prior.begin()

    def resume(self, state: Mapping[str, Array]) -> None:
        """See `AdversarialGenerator.resume`."""
        self.prior.resume(state)
        super().resume(state)

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {**super().training_state(), **self.prior.training_state()}

    # -- weights and facts ------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The net's averaged weights, the strings, and what samples them."""
        return {**super().state(), **self.prior.state()}

    def load(self, state: Mapping[str, Array]) -> None:
        """See `Generator.load`."""
        net = {k: tuple(v.shape) for k, v in self.optimiser.averages.items()}
        check_state(state, {**net, **self.prior.shapes()}, self.name)
        super().load({k: v for k, v in state.items() if not k.startswith(PREFIX)})
        self.prior.load(state)

    def workload(self, n: int) -> Workload:
        """One request for the strings, however many images, where they are not there yet."""
        if self.quantum is None or self.prior.ready:
            return Workload(requests=0, rows=0)
        return Workload(requests=1, rows=1, shots=self.config.pool)

    @property
    def parameters(self) -> Parameters:
        """The net's and the prior's numbers: the circuit's weights, or what the copula was fitted to."""
        found, c = super().parameters, self.config
        own = c.wires * (c.wires + 1) // 2 if c.prior == "copula" else found.circuit
        return evolve(found, total=found.total + own, layer=own)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {**super().describe(), "prior": dict(self.prior.facts)}
