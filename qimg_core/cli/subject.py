"""What a command was pointed at: a picture, a weights file, or a run (imports errors, ledger)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.png import SIGNATURE

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger

Kind = Literal["picture", "weights", "run"]


@frozen
class Subject:
    """``path`` is the file of a picture or of weights, None for a run."""

    kind: Kind
    name: str
    path: Path | None


def subject(what: str) -> Subject:
    """Tell what a word names: a file by its first bytes, anything that is no file is a run id.

    Raises:
        DataError: no such file.
        ConfigurationError: a file or folder of another kind.
    """
    path = Path(what)
    if path.is_dir():
        raise ConfigurationError(f"{what} is a folder", hint=f"to check a ledger or a bundle: qimg verify {what}")
    if not path.exists():
        if "/" in what or path.suffix in (".png", ".safetensors", ".json", ".zip"):
            raise DataError(f"no file {what}")
        return Subject("run", what, None)
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start == SIGNATURE or path.suffix.lower() == ".png":
        return Subject("picture", what, path)
    if path.suffix == ".safetensors":
        return Subject("weights", what, path)
    raise ConfigurationError(f"{what} is neither a PNG nor a weights file", hint="or give a run id")


def find_run(ledger: Ledger, run: str, where: str) -> str:
    """The id of a run, which may be shortened as long as one run begins so.

    Raises:
        ConfigurationError: none, or several.
    """
    known = [entry.run for entry in ledger.entries(kind="run.started") if entry.run]
    if run in known:
        return run
    begun = sorted({name for name in known if name.startswith(run)})
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise ConfigurationError(f"{run} begins {len(begun)} runs of {where}: {', '.join(begun[:5])}")
    near = difflib.get_close_matches(run, known, n=1, cutoff=0.6)
    offer = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(
        f"no run {run!r} in {where}{offer}", hint=f"its {len(set(known))} runs: qimg ledger log --ledger {where}"
    )
