"""`LocalWitness`: a witness on a loopback port, with keys and memory in a folder (standard library and this plugin)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qimg_anchors.heads import Heads
from qimg_anchors.keys import create, heads_of, load
from qimg_anchors.server import WitnessServer
from qimg_anchors.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from qimg_core.ledger.note import VerifierKey


class LocalWitness:
    """Runs while the ``with`` block does; entering it again goes on with the same keys and memory.

    Args:
        folder: where keys and memory lie; made where missing.
        name: of the witness.
        logs: public keys of the logs that it serves.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        logs: Iterable[VerifierKey],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = folder / f"{name.replace('/', '-')}.key"
        self._clock = clock
        self.cosigner = load(self._path) if self._path.exists() else create(self._path, name)
        self.logs: dict[str, tuple[VerifierKey, ...]] = {}
        for key in logs:
            self.logs[key.name] = (*self.logs.get(key.name, ()), key)

    def line(self, name: str, *, mldsa44: bool = True) -> str:
        """Its line in a policy file, with its key of one algorithm."""
        return f"witness {name} {self.cosigner.keys[mldsa44]} {self.url}\n"

    @property
    def url(self) -> str:
        """Both prefixes."""
        return self._server.url

    def __enter__(self) -> Self:
        self._heads = Heads(heads_of(self._path), self.cosigner.keys)
        self.witness = Witness(self.cosigner, self.logs, self._heads, self._clock)
        self._server = WitnessServer(self.witness)
        self._server.__enter__()
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._server.__exit__(t, e, tb)
        self._heads.close()
