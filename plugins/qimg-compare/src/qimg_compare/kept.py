"""attrs values with arrays in them as one NPZ file and back, without pickle (imports numpy, attrs).

For values of this SDK's metrics only: what is read names classes, and no other package's class is made.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from qimg_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

PACKAGE = "qimg_metrics."


def save(path: Path, value: Any, *, digest: str, without: Mapping[str, Any]) -> None:
    """Write a frozen attrs value; the fields named in ``without`` are left out.

    Raises:
        DataError: it holds something else than attrs values, arrays, numbers, text, None and tuples of them.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def plain(v: Any, leave: Mapping[str, Any]) -> Any:
        if isinstance(v, np.ndarray):
            arrays[f"a{len(arrays)}"] = v
            return {"array": f"a{len(arrays) - 1}"}
        if attrs.has(type(v)) and type(v).__module__.startswith(PACKAGE):
            kind = f"{type(v).__module__}:{type(v).__qualname__}"
            names = [f.name for f in attrs.fields(type(v)) if f.name not in leave]
            return {"class": kind, "fields": {name: plain(getattr(v, name), {}) for name in names}}
        if isinstance(v, tuple):
            return {"tuple": [plain(item, {}) for item in v]}
        if v is None or isinstance(v, (str, int, float)):
            return {"value": v}
        raise DataError(f"cannot keep a {type(v).__module__}.{type(v).__qualname__}")

    text = json.dumps(plain(value, without))
    with path.open("wb") as file:
        np.savez(file, digest=np.array(digest), text=np.array(text), **arrays)  # type: ignore[arg-type]


def load(path: Path, *, digest: str, given: Mapping[str, Any]) -> Any:
    """What `save` wrote, with the fields left out taken from ``given``; None where it was saved with another digest.

    Raises:
        DataError: a class of another package.
    """
    with np.load(path, allow_pickle=False) as file:
        if str(file["digest"]) != digest:
            return None

        def made(d: dict[str, Any], more: Mapping[str, Any]) -> Any:
            if "array" in d:
                return file[d["array"]]
            if "tuple" in d:
                return tuple(made(item, {}) for item in d["tuple"])
            if "class" not in d:
                return d["value"]
            module, _, name = d["class"].partition(":")
            if not module.startswith(PACKAGE):
                raise DataError(f"{path} names a class of another package, {d['class']}")
            found = getattr(import_module(module), name)
            return found(**{k: made(v, {}) for k, v in d["fields"].items()}, **more)

        return made(json.loads(str(file["text"])), given)
