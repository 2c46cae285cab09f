"""`AdversarialGenerator`: Wasserstein training that the generators of this plugin share (imports qimg_core, torch).

A model adds its net, from noise and class to what a critic judges. The critic is classical and belongs to training
alone. Training watches for mode collapse and says so.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from qimg_core.datasets.resize import resize
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.images import TrainStep
from qimg_diffusion.optimise import Optimiser, learning_rate
from qimg_diffusion.torch_generator import TorchGenerator, owned, seeded
from qimg_gan.collapse import diversity
from qimg_gan.critic import Critic, critic_loss, generator_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from qimg_core.datasets import ImageSource
    from qimg_core.session import Session

    Array = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]

log = logging.getLogger("qimg")

GENERATOR, CRITIC = "generator/", "critic/"
BETAS = (0.0, 0.9)
"""Of Adam, as usual with a gradient penalty."""
FREE = 1e6
"""Gradients are not clipped: the penalty bounds them."""
WATCH = 50
"""Steps between two looks at the diversity of what is made; the first is after a quarter of the training."""


class AdversarialGenerator(TorchGenerator):
    """A net (noise, class) -> pixels, trained against a critic with gradient penalty.

    The configuration has: size, channels, classes; batch, rate, critic_rate, critic_width, critic_steps, penalty,
    average; sample_batch.

    Attributes:
        collapsed: signs of mode collapse at the last look, in words; None before the first.
    """

    method = "Wasserstein GAN with gradient penalty"
    sampling_settings = frozenset({"sample_batch"})
    evaluations = 1

    def __init__(self, session: Session, config: Any) -> None:
        super().__init__(session, config)
        c = config
        with seeded(session, "critic"):
            self.critic = self.build_critic()
        self.optimiser = Optimiser(self.net, rate=c.rate, decay=0.0, average=c.average, clip=FREE, betas=BETAS)
        self.judging = Optimiser(self.critic, rate=c.critic_rate, decay=0.0, average=0.0, clip=FREE, betas=BETAS)
        self.collapsed: tuple[str, ...] | None = None

    # -- what a model adds -------------------------------------------------------------------

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The net: (prepared noise, labels (n,)) -> what the critic judges: (n, channels, size, size) in [0, 1]."""

    def build_critic(self) -> torch.nn.Module:
        """Judges (n, ...) and labels (n,): scores (n,)."""
        c = self.config
        return Critic(size=c.size, channels=c.channels, classes=c.classes, width=c.critic_width)

    def prepared(self, noise: torch.Tensor) -> torch.Tensor:
        """The session's noise (n, *noise_shape) as the net takes it."""
        return noise

    def finished(self, judged: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the critic judges -> pixels (n, h, w, c)."""
        return judged.permute(0, 2, 3, 1)

    # -- training ----------------------------------------------------------------------------

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Array] | None = None) -> Iterator[TrainStep]:
        """See `Generator.fit`. A step is some of the critic and one of the generator.

        The metrics are ``loss``, the Wasserstein distance that the critic estimates, and ``slope``, the generator's
        loss; now and then ``spread`` and ``entropy``, see `qimg_gan.collapse.Diversity`. Signs of mode collapse are
        logged as a warning and recorded as ``training.warned``.

        Raises:
            DataError: images of another shape, too few classes or labels that are missing.
            ConfigurationError: no steps.
            WeightsError: ``start`` is no training state of this model.
            TrainingDiverged: a loss is no longer finite.
        """
        self.check_images(images)
        if steps < 1:
            raise ConfigurationError(f"training takes 1 step or more, got {steps}")
        if start is None:
            self.begin()
        else:
            self.resume(start)
        return self.steps(images, steps)

    def steps(self, images: ImageSource, steps: int) -> Iterator[TrainStep]:
        """The training loop from where the optimisers stand."""
        yield from self.net_steps(images, steps, before=0)

    def net_steps(self, images: ImageSource, steps: int, *, before: int) -> Iterator[TrainStep]:
        """`adversarial_steps` against the images themselves."""
        yield from self.adversarial_steps(lambda chosen: self.real(images, chosen), images, steps, before=before)

    def real(self, images: ImageSource, chosen: Any) -> torch.Tensor:
        """Images of the model's size, (n, channels, size, size)."""
        size = self.config.size
        return owned(resize(images.images(chosen), (size, size))).permute(0, 3, 1, 2)

    def adversarial_steps(
        self, real: Callable[[Labels], torch.Tensor], images: ImageSource, steps: int, *, before: int
    ) -> Iterator[TrainStep]:
        """Train net and critic against each other.

        Args:
            real: indices -> what the critic judges of these images.
            images: all of them.
            steps: of the generator.
            before: steps that came before, for counting.
        """
        c = self.config
        known = None if images.labels is None else np.array(images.labels, dtype=np.int64)
        labels = known if c.classes > 1 and known is not None else np.zeros(images.n, dtype=np.int64)
        while (k := self.optimiser.step) < steps:
            rng = self.rng("batch", k)
            factor, distance = learning_rate(k, steps, floor=0.2), 0.0
            seen: list[tuple[torch.Tensor, torch.Tensor, Labels]] = []
            for _ in range(c.critic_steps):
                chosen = rng.integers(0, images.n, c.batch)
                true = real(chosen)
                y = torch.from_numpy(labels[chosen])
                where = torch.from_numpy(rng.random(c.batch, dtype=np.float32))
                with torch.no_grad():
                    fake = self.net(self._noise(rng), y)
                loss, estimate = critic_loss(self.critic, true, fake, y, where, penalty=c.penalty)
                self.judging.descend(loss, factor=factor)
                distance = float(estimate)
                seen.append((fake, true, chosen))
            y = torch.from_numpy(labels[rng.integers(0, images.n, c.batch)])
            value = self.optimiser.descend(generator_loss(self.critic, self.net(self._noise(rng), y), y), factor=factor)
            metrics = {"loss": distance, "slope": value}
            if 4 * (k + 1) >= steps and (k + 1) % WATCH == 0:
                metrics |= self._watch(seen, labels, known, before + k + 1)
            yield self.stepped(before + k + 1, metrics)

    def _noise(self, rng: np.random.Generator) -> torch.Tensor:
        drawn = rng.standard_normal((self.config.batch, *self.noise_shape), dtype=np.float32)
        return self.prepared(torch.from_numpy(drawn))

    def stepped(self, step: int, metrics: dict[str, float]) -> TrainStep:
        """Tell the record, and the caller."""
        self.session.step(step, metrics)
        return TrainStep(step=step, metrics=metrics)

    def _watch(
        self,
        seen: list[tuple[torch.Tensor, torch.Tensor, Labels]],
        labels: Labels,
        known: Labels | None,
        step: int,
    ) -> dict[str, float]:
        """Compare what the critic saw in this step: made by one net, so nothing is run for it."""
        made, real = (torch.cat([s[i] for s in seen]).numpy() for i in (0, 1))  # type: ignore[misc]
        chosen = np.concatenate([s[2] for s in seen])
        found = diversity(made, real, labels[chosen], None if known is None else known[chosen])
        if found.signs and not self.collapsed:
            log.warning("%s, step %d: signs of mode collapse: %s", self.name, step, "; ".join(found.signs))
            self.session.record("training.warned", {"step": step, "warning": "mode collapse", **found.to_json()})
        self.collapsed = found.signs
        return {"spread": found.spread, **({} if found.entropy is None else {"entropy": found.entropy})}

    def begin(self) -> None:
        """Before the first step of a training that was not interrupted."""
        self.optimiser.restart()
        self.judging.restart()

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take a training state."""
        self.optimiser.load({k: v for k, v in state.items() if k.startswith(GENERATOR)}, GENERATOR)
        self.judging.load({k: v for k, v in state.items() if k.startswith(CRITIC)}, CRITIC)

    def training_state(self) -> dict[str, Array]:
        """See `Generator.training_state`."""
        return {**self.optimiser.state(GENERATOR), **self.judging.state(CRITIC)}

    def check_images(self, images: ImageSource) -> None:
        """Refuse what cannot be learned.

        Raises:
            DataError.
        """
        c = self.config
        h, w, channels = images.shape
        if images.n < 1 or channels != c.channels or min(h, w) < c.size:
            raise DataError(
                f"{self.name} learns images {(c.size, c.size, c.channels)} and shrinks larger ones, {images.name} has "
                f"{images.n} of {tuple(images.shape)}"
            )
        if c.classes > 1 and images.labels is None:
            raise DataError(f"{self.name} learns labelled images, {images.name} has none", hint="--set classes=1")
        if c.classes > 1 and images.n_classes > c.classes:
            raise DataError(
                f"{images.name} has {images.n_classes} classes, the model {c.classes}",
                hint=f"--set classes={images.n_classes}",
            )
        self.check_pixels(images)

    # -- sampling and facts ------------------------------------------------------------------

    def made(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The net with its averaged weights; the critic is not needed to make images."""
        return self.finished(functional_call(self.net, self.optimiser.averages, (self.prepared(noise), labels)), labels)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        facts = {**super().describe(), "critic": sum(v.numel() for v in self.critic.parameters())}
        return facts if self.collapsed is None else {**facts, "collapse": list(self.collapsed)}
