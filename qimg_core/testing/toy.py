"""A whole generator on one screen, in numpy: for tests, and to copy from (floor 8).

Each 2x2 image is four expectation values of a four-qubit circuit whose inputs are noise plus a class
offset. Training is one step of gradient-free descent towards the mean image of each class. It makes no good
pictures; it walks the same road as the real ones.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import frozen

from qimg_core.circuit import Circuit, CircuitBuilder, each
from qimg_core.errors import DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.generation import check_noise, conditions, initial_noise, record_images
from qimg_core.generator import Arm, Generator, Parameters, Workload, arm_field
from qimg_core.hooks import BackendSpec, GeneratorSpec, hookimpl
from qimg_core.images import Images, TrainStep
from qimg_core.measurement import Expectation
from qimg_core.weights import check_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qimg_core.datasets import ImageSource

CLASSES = 3


@frozen(kw_only=True)
class ToyConfig:
    """Settings of the toy: ``spread`` scales the noise, ``rate`` is the step size."""

    arm: Arm = arm_field()
    spread: float = 0.3
    rate: float = 0.5


class ToyGenerator(Generator):
    """Four qubits, four pixels, three classes."""

    name = "toy"
    config_type: ClassVar[type[Any]] = ToyConfig
    weights_format = "toy/1"
    fine_tunes = True
    noise_shape = (4,)

    def __init__(self, session: Any, config: ToyConfig) -> None:
        super().__init__(session, config)
        seed = session.seed_for("toy", "weights")
        self.weights = np.random.default_rng(seed).normal(size=(CLASSES, 4)).astype(np.float32)

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(4)
        for wire in range(4):
            b.ry(wire, b.input(f"x{wire}"))
        if self.arm is not Arm.SEPARABLE:
            for wire in range(3):
                b.cx(wire, wire + 1)
        return b.build()

    def _pixels(self, noise: Any, classes: Sequence[int]) -> Any:
        angles = self.weights[list(classes)].astype(float) + self.config.spread * noise.astype(float)
        if self.arm in (Arm.TWIN, Arm.BYPASS):
            return (1 + np.cos(angles)) / 2
        request = ExecutionRequest(
            circuit=self.circuit,
            inputs=angles,
            weights=np.zeros(0),
            measurement=Expectation(each("Z", range(4))),
            shots=self.session.shots,
            seed=None if self.session.shots is None else self.session.seed_for("toy", "shots"),
            noise=self.session.noise_model,
        )
        return np.clip((1 + self.session.execute(request, label="toy").data) / 2, 0, 1)

    def check_images(self, images: ImageSource) -> None:
        if images.shape != (2, 2, 1):
            raise DataError(f"toy learns 2x2 images with one channel, got {images.shape}")

    def fit(self, images: ImageSource, *, steps: int, start: Mapping[str, Any] | None = None) -> Iterator[TrainStep]:
        self.check_images(images)
        labels = np.asarray(images.labels if images.labels is not None else np.zeros(images.n, int)) % CLASSES
        pixels = images.all().reshape(-1, 4)
        target = np.stack([pixels[labels == c].mean(0) if (labels == c).any() else np.zeros(4) for c in range(CLASSES)])
        done = 0
        if start is not None:
            self.load({"weights": start["weights"]})
            done = int(start["step"][0])
        self.step = done
        for step in range(done + 1, steps + 1):
            rng = np.random.default_rng(self.session.seed_for("toy", "batch", step))
            now = self._pixels(np.zeros((CLASSES, 4)), range(CLASSES))
            trial = rng.normal(size=self.weights.shape).astype(np.float32) * self.config.rate
            before = float(((now - target) ** 2).mean())
            self.weights += trial
            after = float(((self._pixels(np.zeros((CLASSES, 4)), range(CLASSES)) - target) ** 2).mean())
            if after > before:
                self.weights -= trial
            self.step = step
            metrics = {"loss": min(before, after)}
            self.session.step(step, metrics)
            yield TrainStep(step=step, metrics=metrics)

    def training_state(self) -> dict[str, Any]:
        return {"weights": self.weights, "step": np.array([self.step])}

    def sample(
        self, n: int, *, condition: Sequence[int] | None = None, noise: Any = None, seed: int | None = None
    ) -> Images:
        classes = conditions(n, condition, CLASSES)
        if noise is None:
            seed = self.session.seed_for("toy", "sample") if seed is None else seed
            noise = initial_noise(self.session, n, self.noise_shape, seed=seed)
        else:
            noise, seed = check_noise(noise, n, self.noise_shape), None
        pixels = self._pixels(noise, classes).reshape(n, 2, 2, 1)
        images = Images(pixels=pixels.astype(np.float32), labels=classes, quantum=False, simulated=False)
        return record_images(
            self.session, self, images, seed=seed, noise=noise, condition=classes, settings={"batch": n}
        )

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load(self, state: Mapping[str, Any]) -> None:
        check_state(state, {"weights": (CLASSES, 4)}, "toy")
        self.weights = np.array(state["weights"], dtype=np.float32)

    def workload(self, n: int) -> Workload:
        if self.arm in (Arm.TWIN, Arm.BYPASS):
            return Workload(requests=0, rows=0)
        return Workload(requests=1, rows=n, shots=self.session.shots)

    @property
    def parameters(self) -> Parameters:
        return Parameters(total=CLASSES * 4, layer=CLASSES * 4, circuit=0, observable=0)

    def describe(self) -> dict[str, Any]:
        ran = self.arm not in (Arm.TWIN, Arm.BYPASS)
        return {"circuits": [self.circuit.digest] if ran else [], "quantum_layer": "all pixels" if ran else None}


class ToyPlugin:
    """Supplies the toy and the reference device, as a plugin module would."""

    @hookimpl
    def qimg_generators(self) -> list[GeneratorSpec]:
        return [GeneratorSpec(name="toy", target="qimg_core.testing.toy:ToyGenerator", summary="four pixels")]

    @hookimpl
    def qimg_backends(self) -> list[BackendSpec]:
        return [BackendSpec(name="reference", target="qimg_core.testing:ReferenceBackend", summary="dense numpy")]
