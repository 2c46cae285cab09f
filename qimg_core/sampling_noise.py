"""The noise that images begin with: drawn from the seed, or supplied by a plugin (floor 5; the session is given).

Drawn noise of image i depends on the root seed and on i alone: not on the batch it is made in, not on the
process. Supplied noise (watermark, quantum randomness) has no seed that gives it again: it is kept, in an
entry of its own, before anything is computed from it.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, DataError, PluginLoadError
from qimg_core.execution import array_digest
from qimg_core.hooks import SuppliedNoise
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.session import Session

NOISE_SOURCE = "QIMG_NOISE_SOURCE"
"""Environment variable: the source that has to supply the noise of runs of activity "generate"."""
SUPPLIED = "noise.supplied"


def initial_noise(session: Session, n: int, shape: tuple[int, ...], *, seed: int, start: int = 0) -> Any:
    """The noise that n images begin with, float32 ``(n, *shape)``: a plugin's, else `session_noise`.

    Draw it in one call and give it to `record_images` as it is: that is how the record knows where it is from.
    A replay asks no plugin, it takes the recorded noise or the recorded seed; a resumed run takes the noise
    that it was supplied with before.

    Raises:
        ConfigurationError: no plugin supplies the source that is asked for.
        DataError: a plugin's noise of another shape, with NaN or infinite values.
        BackendError: the source failed and stands for no fallback.
    """
    if session.activity == "replay":
        return session_noise(n, shape, seed=seed, start=start)
    asked = (os.environ.get(NOISE_SOURCE) or None) if session.activity == "generate" else None
    wanted = {"asked": asked, "seed": str(seed), "start": start, "shape": [n, *shape]}
    if session.resumed is not None and (kept := _kept(session, wanted)) is not None:
        return kept
    context = {"session": session, "run": session.run, "source": asked}
    context |= {"seed": seed, "start": start, "n": n, "shape": shape}
    for impl in reversed(session.registry.hooks.hook.qimg_noise.get_hookimpls()):  # the last registered first
        if impl.wrapper or impl.hookwrapper:
            raise PluginLoadError(f"qimg_noise of {impl.plugin_name!r} is a wrapper: the first answer counts there")
        given = impl.function(*[{"context": context}[name] for name in impl.argnames])
        if given is not None:
            return _supplied(session, given, impl.plugin_name, wanted)
    if asked is not None:
        raise ConfigurationError(
            f"no plugin supplies the noise source {asked!r} that {NOISE_SOURCE} names",
            hint=f"unset {NOISE_SOURCE}, or install the plugin that has it (qimg plugin list)",
        )
    return session_noise(n, shape, seed=seed, start=start)


def session_noise(n: int, shape: tuple[int, ...], *, seed: int, start: int = 0) -> Any:
    """Standard normal noise, float32 ``(n, *shape)``; row i depends on ``seed`` and ``start + i`` alone."""
    import numpy as np

    out = np.empty((n, *shape), dtype=np.float32)
    for i in range(n):
        generator = np.random.Generator(np.random.PCG64(derive_seed(seed, "noise", start + i)))
        out[i] = generator.standard_normal(shape)
    return out


def check_noise(noise: Any, n: int, shape: tuple[int, ...]) -> Any:
    """Noise that a caller supplied, as float32 ``(n, *shape)``.

    Raises:
        DataError: the wrong shape, NaN or infinite values.
    """
    import numpy as np

    out = np.asarray(noise, dtype=np.float32)
    if out.shape != (n, *shape):
        raise DataError(f"noise: wanted shape {(n, *shape)}, got {out.shape}")
    if not np.isfinite(out).all():
        raise DataError("noise holds NaN or infinite values")
    return out


def origin_of(session: Session, digest: str) -> dict[str, Any] | None:
    """What the record says of noise that a plugin supplied to this run; None where none did.

    Args:
        session: the run.
        digest: of the noise, see `qimg_core.execution.array_digest`.
    """
    for entry in session.ledger.entries(run=session.run, kind=SUPPLIED):
        if entry.facts["noise"] == digest:
            return {**{k: entry.facts[k] for k in ("source", "plugin", "asked", "reason")}, "entry": entry.index}
    return None


def npy(array: Any) -> bytes:
    """An array as an NPY file, without pickles."""
    import numpy as np

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def from_npy(data: bytes) -> Any:
    """The array of `npy`."""
    import numpy as np

    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _supplied(session: Session, given: Any, plugin: str, wanted: Mapping[str, Any]) -> Any:
    """A plugin's noise, checked and kept."""
    noise = given if isinstance(given, SuppliedNoise) else SuppliedNoise(values=given, source=plugin)
    n, *shape = wanted["shape"]
    try:
        values = check_noise(noise.values, n, tuple(shape))
    except DataError as error:
        raise DataError(f"plugin {plugin!r} supplied {noise.source}: {error.message}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"plugin {plugin!r} supplied {noise.source}: no array of numbers ({error})") from error
    facts = {
        "schema": "qimg.noise.supplied/1",
        "source": noise.source,
        "plugin": plugin,
        "reason": noise.reason,
        **wanted,
        "noise": array_digest(values),
        "more": dict(noise.facts),
        "artefacts": {"noise": session.put(npy(values))},
    }
    session.record(SUPPLIED, facts, gaps=[] if noise.reason is None else [("noise", noise.reason)])
    return values


def _kept(session: Session, wanted: Mapping[str, Any]) -> Any | None:
    """The noise that this run was supplied with before it was interrupted."""
    for entry in session.ledger.entries(run=session.run, kind=SUPPLIED):
        if all(entry.facts[name] == value for name, value in wanted.items()):
            return from_npy(session.ledger.get(entry.artefacts["noise"]))
    return None
