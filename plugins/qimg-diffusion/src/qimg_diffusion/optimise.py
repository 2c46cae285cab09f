"""Optimiser with a running average of the weights, whose state is named arrays (imports torch, numpy, errors).

Everything depends on the step number, never on the clock, so a run that was killed goes on exactly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qimg_core.errors import QimgError
from qimg_core.weights import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]


class TrainingDiverged(QimgError):
    """The loss is no longer a finite number."""


def learning_rate(step: int, steps: int, *, warmup: int = 100, floor: float = 0.02) -> float:
    """Factor on the rate at a step (from 0): up over ``warmup`` steps, then down in a line to ``floor``."""
    warmup = max(1, min(warmup, steps // 10))
    return min(1.0, (step + 1) / warmup) * max(floor, 1 - step / steps)


def arrays(tensors: Mapping[str, torch.Tensor], prefix: str = "") -> dict[str, Array]:
    """Copies as numpy arrays, their names behind ``prefix``."""
    return {prefix + name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def assign(tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any], prefix: str = "") -> None:
    """Copy named arrays into tensors, in place."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.as_tensor(np.asarray(state[prefix + name])).reshape(tensor.shape))


class Optimiser:
    """AdamW with clipped gradients, one rate per group of parameters, and averaged weights.

    Args:
        net: what is trained.
        rate: of all parameters that no group names.
        rates: rate by part of a parameter's name; observables learn well at a rate of their own
            (Chen, arXiv:2501.05663).
        decay: of the weights, AdamW's.
        average: of the running mean, which samples better than the last weights; it starts fast.
        clip: largest norm of the gradient.
        betas: Adam's; adversarial training wants no memory of the slope, (0, 0.9).
    """

    def __init__(
        self,
        net: torch.nn.Module,
        *,
        rate: float,
        rates: Mapping[str, float] | None = None,
        decay: float = 0.01,
        average: float = 0.999,
        clip: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.net, self.average, self.clip = net, average, clip
        self.step = 0
        self.averages = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        self.trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, p in self.trained.items():
            own = next((r for part, r in (rates or {}).items() if part in name), rate)
            groups.setdefault(own, []).append(p)
        self._base = list(groups)
        self._adam = torch.optim.AdamW(
            [{"params": ps, "lr": r} for r, ps in groups.items()], betas=betas, weight_decay=decay, fused=True
        )

    def descend(self, loss: torch.Tensor, *, factor: float) -> float:
        """One step down the gradient of ``loss``; returns its value.

        Args:
            loss: a scalar.
            factor: on all rates, from `learning_rate`.

        Raises:
            TrainingDiverged: the loss is NaN or infinite; the weights stay as they were.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the loss became {value} at step {self.step + 1}", hint="lower the learning rate: --set rate=0.001"
            )
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), self.clip)
        for group, base in zip(self._adam.param_groups, self._base, strict=True):
            group["lr"] = base * factor
        self._adam.step()
        self.step += 1
        keep = min(self.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, tensor in self.net.state_dict().items():
                self.averages[name].lerp_(tensor, 1 - keep)
        return value

    def restart(self) -> None:
        """Forget averages and moments: training begins from the net's present weights."""
        self._adam.state.clear()
        self.step = 0
        assign(self.averages, arrays(self.net.state_dict()))

    def state(self, prefix: str = "") -> dict[str, Array]:
        """Weights, averages and Adam's moments as copies, by name."""
        moments: dict[str, torch.Tensor] = {}
        for name, p in self.trained.items():
            known = self._adam.state.get(p, {})
            for kind in ("exp_avg", "exp_avg_sq"):
                moments[f"{kind}/{name}"] = known.get(kind, torch.zeros_like(p))
        out = arrays(self.net.state_dict(), f"{prefix}weights/")
        out |= arrays(self.averages, f"{prefix}averages/") | arrays(moments, prefix)
        out[f"{prefix}step"] = np.array([self.step], dtype=np.float32)
        return out

    def load(self, state: Mapping[str, Any], prefix: str = "") -> None:
        """Take what `state` gave.

        Raises:
            WeightsError: names or shapes that are not this net's.
        """
        mine = {name: array.shape for name, array in self.state(prefix).items()}
        check_state({k: v for k, v in state.items() if k.startswith(prefix)}, mine, "training state")
        self.step = int(np.asarray(state[f"{prefix}step"])[0])
        assign(self.net.state_dict(), state, f"{prefix}weights/")
        assign(self.averages, state, f"{prefix}averages/")
        self._adam.state.clear()
        for name, p in self.trained.items():
            if self.step:
                fresh = {"exp_avg": torch.empty_like(p), "exp_avg_sq": torch.empty_like(p)}
                assign(fresh, {k: state[f"{prefix}{k}/{name}"] for k in fresh})
                self._adam.state[p] = {"step": torch.tensor(float(self.step)), **fresh}
