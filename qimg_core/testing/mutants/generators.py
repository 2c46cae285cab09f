"""Faulty generators: a kit that they pass is itself broken (floor 8; imports toy).

`SoundGenerator` is the toy with trained weights in its circuit; each of the others has one fault, and the case that
has to find it. ``python -m qimg_core.testing.mutants`` prints them after the devices.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from qimg_core.circuit import CircuitBuilder, each
from qimg_core.errors import ConfigurationError
from qimg_core.execution import ExecutionRequest
from qimg_core.generation import conditions, initial_noise, record_images, session_noise
from qimg_core.generator import Arm, Parameters
from qimg_core.hooks import GeneratorSpec, hookimpl
from qimg_core.images import Images, TrainStep
from qimg_core.measurement import Expectation
from qimg_core.plugins import Registry
from qimg_core.testing.toy import CLASSES, ToyGenerator, ToyPlugin
from qimg_core.weights import check_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qimg_core.circuit import Circuit
    from qimg_core.datasets import ImageSource
    from qimg_core.testing.conformance.report import Report

WIRES = 4


class SoundGenerator(ToyGenerator):
    """Class offsets and noise are angles, and so are four trained weights, which the frozen form keeps."""

    name = "sound"
    weights_format = "sound/1"

    def __init__(self, session: Any, config: Any) -> None:
        super().__init__(session, config)
        self.angles = np.random.default_rng(session.seed_for("angles")).normal(size=WIRES).astype(np.float32)

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(WIRES)
        for wire in range(WIRES):
            b.ry(wire, b.input(f"x{wire}"))
        for wire, other in self.joined:
            b.cx(wire, other)
        for wire in range(WIRES):
            b.ry(wire, b.weight(f"w{wire}"))
        return b.build()

    @property
    def joined(self) -> Sequence[tuple[int, int]]:
        """Wires with a gate in common."""
        return () if self.arm is Arm.SEPARABLE else tuple((w, w + 1) for w in range(WIRES - 1))

    def _pixels(self, noise: Any, classes: Sequence[int]) -> Any:
        inputs = self.weights[list(classes)].astype(float) + self.config.spread * np.asarray(noise, float)
        if self.arm is Arm.BYPASS:
            return (1 + np.cos(inputs)) / 2
        if self.arm is Arm.TWIN:
            return (1 + np.cos(inputs + self.angles)) / 2
        return self.measured(inputs)

    def measured(self, inputs: Any) -> Any:
        """What the circuit makes of its inputs, as pixels."""
        request = ExecutionRequest(
            circuit=self.circuit,
            inputs=inputs,
            weights=self.angles.astype(float),
            measurement=Expectation(each("Z", range(WIRES))),
            shots=self.session.shots,
            seed=None if self.session.shots is None else self.session.seed_for("shots"),
            noise=self.session.noise_model,
        )
        return np.clip((1 + self.session.execute(request, label="sound").data) / 2, 0, 1)

    @property
    def trains_angles(self) -> bool:
        """Whether the four weights are trained."""
        return self.arm not in (Arm.FROZEN, Arm.BYPASS)

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        """A random walk: it learns nothing, but everything that is trained moves."""
        self.check_images(images)
        if start is not None:
            self.load({name: start[name] for name in ("weights", "angles")})
        self.step = 0 if start is None else int(start["step"][0])
        for step in range(self.step + 1, steps + 1):
            rng = np.random.default_rng(self.session.seed_for("walk", step))
            self.weights += rng.normal(size=self.weights.shape, scale=0.1).astype(np.float32)
            if self.trains_angles:
                self.angles += rng.normal(size=WIRES, scale=0.1).astype(np.float32)
            made = self._pixels(np.zeros((CLASSES, WIRES)), range(CLASSES))
            metrics = {"loss": float(((made - images.all().mean()) ** 2).mean())}
            self.step = step
            self.session.step(step, metrics)
            yield TrainStep(step=step, metrics=metrics)

    def training_state(self) -> dict[str, Any]:
        return {**self.state(), "step": np.array([self.step])}

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights.copy(), "angles": self.angles.copy()}

    def load(self, state: Mapping[str, Any]) -> None:
        check_state(state, {"weights": (CLASSES, WIRES), "angles": (WIRES,)}, self.name)
        self.weights, self.angles = (np.array(state[name], dtype=np.float32) for name in ("weights", "angles"))

    @property
    def parameters(self) -> Parameters:
        own = {Arm.BYPASS: 0, Arm.FROZEN: 0}.get(self.arm, WIRES)
        circuit = own if self.arm in (Arm.QUANTUM, Arm.SEPARABLE) else 0
        return Parameters(total=CLASSES * WIRES + own, layer=own, circuit=circuit, observable=0)


class OtherSize(SoundGenerator):
    """Its twin's layer has half as many numbers again; in the whole model that does not show."""

    @property
    def parameters(self) -> Parameters:
        p = super().parameters
        more = 2 if self.arm is Arm.TWIN else 0
        return evolve(p, total=1000 + p.total + more, layer=p.layer + more)


class NoSeparable(SoundGenerator):
    """One of the forms is not offered."""

    def __init__(self, session: Any, config: Any) -> None:
        if config.arm is Arm.SEPARABLE:
            raise ConfigurationError("there is no separable form")
        super().__init__(session, config)


class OneGateLeft(SoundGenerator):
    """The separable form keeps one gate on two wires."""

    @property
    def joined(self) -> Sequence[tuple[int, int]]:
        return ((2, 3),) if self.arm is Arm.SEPARABLE else super().joined


class Thawed(SoundGenerator):
    """The frozen form's weights are trained all the same."""

    @property
    def trains_angles(self) -> bool:
        return self.arm is not Arm.BYPASS


class FrozenElsewhere(SoundGenerator):
    """The frozen form's weights stay, but not where the circuit began."""

    def __init__(self, session: Any, config: Any) -> None:
        super().__init__(session, config)
        if self.arm is Arm.FROZEN:
            self.angles *= 0


class ClassForgotten(SoundGenerator):
    """Training knows the class, sampling does not: every image is one of class 0."""

    def sample(
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> Images:
        made = super().sample(n, condition=condition, noise=noise, seed=seed)
        return evolve(super().sample(n, condition=[0], noise=noise, seed=seed), labels=made.labels)


class FirstClassForAll(SoundGenerator):
    """All images of a batch are of the class of the first."""

    def _pixels(self, noise: Any, classes: Sequence[int]) -> Any:
        return super()._pixels(noise, [classes[0]] * len(classes))


class BypassByCircuit(SoundGenerator):
    """The bypass samples without the circuit, and trains with it."""

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        for step in super().fit(images, steps=steps, start=start):
            if self.arm is Arm.BYPASS:
                self.measured(np.zeros((1, WIRES)))
            yield step


class OwnNoise(SoundGenerator):
    """Noise that a plugin supplies is not asked for."""

    def sample(
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> Images:
        if noise is None and seed is not None:
            noise = session_noise(n, self.noise_shape, seed=seed)
        return super().sample(n, condition=condition, noise=noise)


class NoiseInPieces(SoundGenerator):
    """Noise is changed between drawing and recording: the record names a seed that does not give it."""

    def sample(
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> Images:
        if noise is not None or seed is None:
            return super().sample(n, condition=condition, noise=noise, seed=seed)
        classes = conditions(n, condition, CLASSES)
        noise = initial_noise(self.session, n, self.noise_shape, seed=seed).astype(float)
        pixels = self._pixels(noise, classes).reshape(n, 2, 2, 1).astype(np.float32)
        images = Images(pixels=pixels, labels=classes, quantum=False, simulated=False)
        return record_images(self.session, self, images, seed=seed, noise=noise, condition=classes, settings={})


@frozen(kw_only=True)
class FaultyGenerator:
    """A generator with one known fault.

    Args:
        name: of the fault, in a few words.
        target: the class, as in a `GeneratorSpec`.
        caught_by: the case that has to fail; others may fail too.
    """

    name: str
    target: type[ToyGenerator]
    caught_by: str

    def examine(self, *, cases: tuple[str, ...] | None = None) -> Report:
        """The kit on this generator, on the reference device.

        Args:
            cases: only these; None for all.
        """
        from qimg_core.testing.conformance.kit import generator

        found, of = Registry(discover=False), self.target
        found.register(ToyPlugin(), "toy")
        found.register(_Supplies(of), "mutant")
        return generator(of.name, registry=found, backend="reference", cases=cases)


class _Supplies:
    def __init__(self, of: type[ToyGenerator]) -> None:
        self.of = of

    @hookimpl
    def qimg_generators(self) -> list[GeneratorSpec]:
        return [GeneratorSpec(name=self.of.name, target=f"{self.of.__module__}:{self.of.__name__}")]


SOUND = FaultyGenerator(name="sound generator", target=SoundGenerator, caught_by="")
"""The same without a fault."""
MUTANTS = (
    FaultyGenerator(name="the twin's layer has another size", target=OtherSize, caught_by="G7"),
    FaultyGenerator(name="no separable form", target=NoSeparable, caught_by="G7"),
    FaultyGenerator(name="a joint gate in the separable form", target=OneGateLeft, caught_by="G11"),
    FaultyGenerator(name="the frozen form is trained", target=Thawed, caught_by="G12"),
    FaultyGenerator(name="the frozen form begins elsewhere", target=FrozenElsewhere, caught_by="G12"),
    FaultyGenerator(name="the class is forgotten in sampling", target=ClassForgotten, caught_by="G13"),
    FaultyGenerator(name="the first class for a whole batch", target=FirstClassForAll, caught_by="G13"),
    FaultyGenerator(name="the bypass trains with the circuit", target=BypassByCircuit, caught_by="G14"),
    FaultyGenerator(name="supplied noise is not asked for", target=OwnNoise, caught_by="G15"),
    FaultyGenerator(name="supplied noise is changed before it is recorded", target=NoiseInPieces, caught_by="G15"),
)
