"""Making generators, and the record of the images (floor 5; imports sampling_noise; the session is given).

Generators take `initial_noise` and `check_noise` from here, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.admission import Asked
from qimg_core.admission_words import UNSTATED
from qimg_core.capabilities import DeviceKind
from qimg_core.config import config_from_json, config_to_json
from qimg_core.errors import AdmissionDenied, DataError, UnknownName, WeightsError
from qimg_core.execution import array_digest
from qimg_core.generator import Arm, Saved
from qimg_core.hooks import GeneratorSpec, marks_of
from qimg_core.sampling_noise import check_noise, initial_noise, npy, origin_of, session_noise
from qimg_core.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.admission import Context
    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_core.ledger.entry import Entry
    from qimg_core.session import Session


def make_generator(
    session: Session, name: str, *, weights: str | Path | None = None, config: Any = None, **changes: Any
) -> Generator:
    """A generator by name, bound to the session.

    Args:
        session: owns the model.
        name: e.g. ``hybrid-unet``.
        weights: a name that ships with the generator ("mnist"), a file, or None for an untrained model.
        config: an instance of the generator's ``config_type``; None takes the weights' own, else the default.
        changes: single settings on top of it, e.g. ``arm="twin"``.

    Raises:
        UnknownName, WeightsError, PluginError
    """
    cls = session.registry.load("generator", name)
    loaded = None
    if weights is not None:
        path = weights_path(session, name, weights)
        loaded = load_weights(path, format=cls.weights_format)
        if config is None:
            config = config_from_json(cls.config_type, loaded.facts["config"])
    if config is None:
        config = cls.config_type()
    if changes:
        config = config_from_json(cls.config_type, {**config_to_json(config), **changes})
    if loaded is not None:
        was = config_to_json(config_from_json(cls.config_type, loaded.facts["config"]))
        now = config_to_json(config)
        differs = [f"{k}: {was[k]!r} -> {now[k]!r}" for k in now if now[k] != was[k] and k not in cls.sampling_settings]
        if differs:
            raise WeightsError(
                f"the weights were trained with another configuration ({', '.join(differs)})",
                hint="train weights for it: qimg train --generator " + name,
            )
    model: Generator = cls(session, config)
    if loaded is not None:
        model.load(loaded.arrays)
        model.saved = Saved(path=path, digest=loaded.digest, facts=loaded.facts)
    return model


def weights_path(session: Session, generator: str, weights: str | Path) -> Path:
    """The file of a weights name, or the path itself.

    Raises:
        UnknownName: neither a file nor a name that ships with the generator.
    """
    spec = session.registry.spec("generator", generator)
    assert isinstance(spec, GeneratorSpec)
    if str(weights) in spec.weights:
        from importlib.resources import files

        package, _, inside = spec.weights[str(weights)].partition(":")
        return Path(str(files(package) / inside))
    path = Path(weights)
    if path.exists():
        return path
    raise UnknownName(f"weights of {generator}", str(weights), spec.weights, hint="or give the path of a weights file")


def conditions(n: int, condition: Sequence[int] | None, n_classes: int) -> tuple[int, ...]:
    """The class of each image: the given ones repeated, or all classes in turn.

    Raises:
        DataError: a class that the model does not know.
    """
    given = tuple(int(c) for c in condition) if condition is not None else tuple(range(n_classes))
    if not given or n < 1:
        raise DataError(f"wanted one image or more of one class or more, got n={n}, condition={given}")
    wrong = [c for c in given if not 0 <= c < n_classes]
    if wrong:
        raise DataError(f"class {wrong[0]} is not one of 0 to {n_classes - 1}")
    return tuple(given[i % len(given)] for i in range(n))


def record_images(
    session: Session,
    model: Generator,
    images: Images,
    *,
    seed: int | None,
    noise: Any,
    condition: tuple[int, ...],
    settings: dict[str, Any],
) -> Images:
    """Write the entry of finished images and return them with their run and entry.

    Args:
        session: the run.
        model: what made them.
        images: pixels in [0, 1].
        seed: root of the noise, None where the caller supplied the noise itself. The entry has none either
            where a plugin supplied it; the noise is then an artefact, and its origin is named.
        noise: the initial noise that was used, as `initial_noise` or `check_noise` gave it.
        condition: class of each image.
        settings: sampler settings, without floats.

    Raises:
        AdmissionDenied: a screening policy withholds the images.
    """
    from qimg_core.environment import threads

    session.flush()
    kinds = session.device_kinds if model.arm not in (Arm.TWIN, Arm.BYPASS) else frozenset[str]()
    ran = bool(kinds)
    quantum = ran and DeviceKind.SURROGATE.value not in kinds
    simulated = quantum and DeviceKind.QPU.value not in kinds
    answers = session.registry.hooks.hook.qimg_screen(images=images, context=_screened(session, model))
    refused = [d for d in answers if d is not None and d.verdict != "allow"]
    if refused:
        reasons = "; ".join(f"{d.policy}: {', '.join(d.reasons)}" for d in refused)
        session.record("images.withheld", {"generator": model.name, "n": len(images), "reasons": reasons})
        hint = "\n  ".join(d.hint for d in refused if d.hint)
        raise AdmissionDenied(f"the images are withheld: {reasons}", hint=hint)
    images, marks = _marked(session, images, {"run": session.run, "generator": model.name, "quantum": quantum})
    each = json.dumps(list(images.digests()), separators=(",", ":")).encode()
    artefacts = {"pixels": session.put(images.to_bytes()), "image_digests": session.put(each)}
    gaps = []
    if model.saved is None:
        gaps.append(("weights", "the model was not loaded from a weights file"))
    else:
        artefacts["weights"] = session.put(model.saved.path.read_bytes())
    digest = array_digest(noise)
    origin = origin_of(session, digest)
    if origin is not None:
        seed = None  # it does not give this noise
        if origin["reason"] is not None:
            gaps.append(("noise", f"not from the source that was asked for: {origin['reason']}"))
    if noise is not None and seed is None:
        artefacts["noise"] = session.put(npy(noise))
    facts = {
        "schema": "qimg.images/1",
        "generator": model.name,
        "plugin": session.registry.version_of("generator", model.name),
        "config": config_to_json(model.config),
        "weights": None if model.saved is None else model.saved.digest,
        "model": model.describe(),
        "n": len(images),
        "condition": list(condition) if len(condition) <= 1000 else None,
        "seed": None if seed is None else str(seed),
        "noise": digest,
        "noise_source": origin,
        "settings": settings,
        "threads": threads(),
        "shape": list(images.pixels.shape),
        "pixels": images.digest,
        "marks": marks,
        "quantum": quantum,
        "simulated": simulated,
        "device_kinds": sorted(kinds),
        "artefacts": artefacts,
    }
    entry: Entry = session.record("images.made", facts, gaps=gaps)
    return evolve(
        images,
        quantum=quantum,
        simulated=simulated,
        run=session.run,
        entry=entry.index,
        record={**facts, "ledger": session.ledger.origin},
    )


def _screened(session: Session, model: Generator) -> Context:
    """The run's context with what is known of these images, also where no plan was ever asked about."""
    context, weights = session.context, UNSTATED if model.saved is None else model.saved.digest
    last = {} if context.asked is None else context.asked.facts
    facts = {**last, "activity": context.activity, "weights": weights}
    return evolve(context, asked=Asked(facts=facts, ledger=lambda: session.ledger))


def _marked(session: Session, images: Images, record: dict[str, Any]) -> tuple[Images, list[str]]:
    """The images after every ``qimg_mark`` plugin, in the order of their registration, and who marked.

    Raises:
        DataError: a mark that is no 8-bit image of the same shape.
    """
    import numpy as np

    impls = session.registry.hooks.hook.qimg_mark.get_hookimpls()
    if not impls:
        return images, []
    pixels = images.to_uint8().copy()
    marks: list[str] = []
    for impl in impls:
        touched = False
        for i in range(len(pixels)):
            given = {"pixels": pixels[i].copy(), "record": {**record, "index": i}}
            marked = impl.function(*[given[name] for name in impl.argnames])
            if marked is None:
                continue
            out = np.asarray(marked)
            if out.shape != pixels[i].shape or out.dtype != np.uint8:
                raise DataError(f"{impl.plugin_name} marked an image as {out.dtype} {out.shape}, not 8 bits as it was")
            pixels[i], touched = out, True
        if touched:
            marks += marks_of(impl.plugin, impl.plugin_name)
    if not marks:  # a plugin that marks nothing now leaves every bit as it was
        return images, []
    return evolve(images, pixels=pixels.astype(np.float64) / 255), marks


__all__ = [
    "check_noise",
    "conditions",
    "initial_noise",
    "make_generator",
    "record_images",
    "session_noise",
    "weights_path",
]
