"""Saved weights: safetensors with a format name, a digest and facts (floor 4; imports errors, storage).

A weights file names its format (``hybrid-unet/1``), the configuration of the model it belongs to and
the run that trained it. Reading never executes anything: no pickle.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = "qimg.weights/1"


@frozen(kw_only=True, eq=False)
class Weights:
    """A file's content: named arrays, the format they are in, facts, and the file's digest."""

    format: str
    arrays: Mapping[str, Any]
    facts: Mapping[str, Any]
    digest: str


def save_weights(path: str | Path, arrays: Mapping[str, Any], *, format: str, facts: Mapping[str, Any]) -> str:  # noqa: A002
    """Write atomically; returns the digest of the file's bytes.

    Args:
        path: where to.
        arrays: numpy arrays by name.
        format: e.g. ``hybrid-unet/1``.
        facts: JSON without floats: configuration, training run, dataset digest.
    """
    from safetensors.numpy import save

    from qimg_core.storage import write_atomic

    document = {"schema": SCHEMA, "format": format, "facts": facts}
    # one key: safetensors writes several in random order, and equal weights would be files of different digests
    metadata = {"qimg": json.dumps(document, sort_keys=True, separators=(",", ":"))}
    import numpy as np

    data = save({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())}, metadata)
    write_atomic(Path(path), data)
    return "sha256:" + hashlib.sha256(data).hexdigest()


def load_weights(path: str | Path, *, format: str | None = None) -> Weights:  # noqa: A002
    """Read a weights file.

    Args:
        path: the file.
        format: refuse any other format.

    Raises:
        WeightsError: no such file, truncated, not safetensors, not ours, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise WeightsError(f"cannot read weights {file}: {cause.strerror}") from cause
    try:
        metadata = weights_metadata(data)
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError) as cause:
        raise WeightsError(
            f"{file} is not a whole safetensors file ({cause})", hint="it may be truncated: copy or train it again"
        ) from cause
    if metadata.get("schema") != SCHEMA:
        raise WeightsError(f"{file} was not written by qimg: wanted schema {SCHEMA}, found {metadata.get('schema')!r}")
    if format is not None and metadata["format"] != format:
        raise WeightsError(f"{file} holds weights of {metadata['format']!r}, wanted {format!r}")
    return Weights(
        format=metadata["format"],
        arrays=arrays,
        facts=metadata["facts"],
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
    )


def retune(path: str | Path, out: str | Path, settings: Mapping[str, Any], allowed: Iterable[str]) -> str:
    """Write the same weights with other sampling settings; returns the new file's digest.

    What was trained stays byte for byte the same; the facts name the file they come from.

    Args:
        path: a weights file.
        out: where to.
        settings: of its configuration, as `qimg_core.config.config_to_json` writes them.
        allowed: the generator's ``sampling_settings``.

    Raises:
        WeightsError: the file cannot be read, or a setting decides what was trained.
    """
    old = load_weights(path)
    if wrong := sorted(set(settings) - set(allowed)):
        raise WeightsError(
            f"{wrong[0]!r} is not a sampling setting; these are: {', '.join(sorted(allowed)) or 'none'}",
            hint="train weights for it with qimg train",
        )
    facts = {**old.facts, "config": {**old.facts["config"], **settings}, "retuned_from": old.digest}
    return save_weights(out, old.arrays, format=old.format, facts=facts)


def check_state(state: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], model: str) -> None:
    """Refuse arrays whose names or shapes are not the model's, naming the first difference.

    Raises:
        WeightsError
    """
    import numpy as np

    if missing := sorted(set(wanted) - set(state)):
        raise WeightsError(f"{model}: the weights lack {missing[0]!r} ({len(missing)} missing)")
    if extra := sorted(set(state) - set(wanted)):
        raise WeightsError(f"{model}: the weights hold {extra[0]!r}, which the model does not have")
    for name, shape in wanted.items():
        if tuple(state[name].shape) != tuple(shape):
            raise WeightsError(f"{model}: {name} has shape {tuple(state[name].shape)}, wanted {tuple(shape)}")
        if not np.isfinite(state[name]).all():
            raise WeightsError(f"{model}: {name} holds NaN or infinite values")


def weights_metadata(data: bytes) -> dict[str, Any]:
    """Schema, format and facts from the header of a weights file's bytes.

    Raises:
        ValueError: the header is cut off, or is no header.
    """
    if len(data) < 8:
        raise ValueError("shorter than a header")
    size = int.from_bytes(data[:8], "little")
    if size > len(data) - 8:
        raise ValueError("the header is cut off")
    header = json.loads(data[8 : 8 + size])
    found = header.get("__metadata__", {})
    if not isinstance(found, dict):
        raise ValueError("the header holds no metadata")
    if "qimg" in found:
        document = json.loads(found["qimg"])
        if not isinstance(document, dict):
            raise ValueError("the header holds no metadata")
        return document
    if "facts" in found:  # files of qimg 0.1.0 before November 2026
        return {**found, "facts": json.loads(found["facts"])}
    return found
