"""What a ledger says of noise that was marked, and the model that made images of it (imports qimg_core, bits).

The detector of a mark in the noise needs three things: the key, the image's nonce, and the model. A ledger has the last
two: `noise.supplied` entries hold run and seed, `images.made` entries the classes and the weights.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import DataError, LedgerError, WeightsError
from qimg_marks.watermark.bits import image_nonce
from qimg_marks.watermark.source import METHOD, SOURCE, payload_bits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qimg_core.generator import Generator
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry


@frozen(kw_only=True, eq=False)
class Recorded:
    """One draw of marked noise and the images of it.

    Args:
        run: id of the run.
        entry: number of the entry of the images.
        seed: of the draw.
        start: number of the first image.
        n: images.
        payload: ``0101...`` or None.
        labels: the class of each image; None where the record has none.
        facts: of the images' entry.
        artefacts: of the images' entry.
    """

    run: str
    entry: int
    seed: int
    start: int
    n: int
    payload: str | None
    labels: tuple[int, ...] | None
    facts: Mapping[str, Any]
    artefacts: Mapping[str, str]

    @property
    def nonces(self) -> tuple[bytes, ...]:
        """Of every image, in order."""
        return tuple(image_nonce(self.run, self.seed, self.start + i) for i in range(self.n))

    @property
    def bits(self) -> Any:
        """The payload as bits, uint8 (k,), or None."""
        return payload_bits(self.payload)


def recorded(ledger: Ledger, key_id: str, *, run: str | None = None) -> list[Recorded]:
    """Every draw of noise marked with a key of which there are images, in order.

    Args:
        ledger: where to look.
        key_id: see `qimg_marks.watermark.key.WatermarkKey.id`.
        run: of this run only.
    """
    drawn: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in ledger.entries(run=run, kind="noise.supplied"):
        more = entry.facts["more"]
        if entry.facts["source"] == SOURCE and more.get("key") == key_id and more.get("method") == METHOD:
            drawn[(str(entry.run), entry.facts["noise"])] = entry.facts
    found = []
    for entry in ledger.entries(run=run, kind="images.made"):
        of = drawn.get((str(entry.run), entry.facts["noise"]))
        if of is None:
            continue
        condition = entry.facts["condition"]
        found.append(
            Recorded(
                run=str(entry.run),
                entry=entry.index,
                seed=int(of["seed"]),
                start=of["start"],
                n=of["shape"][0],
                payload=of["more"]["payload"],
                labels=tuple(condition) if condition else None,
                facts=entry.facts,
                artefacts=entry.artefacts,
            )
        )
    return found


@contextmanager
def model_of(ledger: Ledger, made: Recorded, registry: Registry, *, weights: Path | None = None) -> Iterator[Generator]:
    """The generator that made images, to run it backwards: on the exact simulator, with a record in memory only.

    Args:
        ledger: holds the weights.
        made: the images.
        registry: the plugins.
        weights: a file instead, of the same digest.

    Raises:
        LedgerError: the images were made without weights.
        WeightsError: the file holds other weights than the record names.
    """
    from qimg_core.config import config_from_json
    from qimg_core.session import Session
    from qimg_core.weights import load_weights

    if made.facts["weights"] is None or (weights is None and "weights" not in made.artefacts):
        raise LedgerError(
            f"the record of run {made.run} has no weights: its sampler cannot be run backwards",
            hint="--weights FILE, if there is one",
        )
    name = made.facts["generator"]
    with tempfile.TemporaryDirectory() as folder, Session(None, seed=0, profile="light", registry=registry) as session:
        cls = session.registry.load("generator", name)
        path = Path(folder) / "recorded.safetensors" if weights is None else weights
        if weights is None:
            path.write_bytes(ledger.get(made.artefacts["weights"]))
        digest = load_weights(path, format=cls.weights_format).digest
        if digest != made.facts["weights"]:
            raise WeightsError(f"run {made.run} used weights {made.facts['weights']}, {path} holds {digest}")
        yield session.generator(name, weights=path, config=config_from_json(cls.config_type, made.facts["config"]))


def place_of(made: Recorded, n: int, text: Mapping[str, str]) -> range | None:
    """Which images of a record n pictures are: all of them in order, or the one that the file's text names.

    None where that is not known.

    Raises:
        DataError: the text names an image that the record does not have.
    """
    if n == made.n and (n > 1 or "qimg:index" not in text):
        return range(n)
    at = text.get("qimg:index", "")
    if n != 1 or not at.isdecimal():
        return None
    if int(at) >= made.n:
        raise DataError(f"the file says it is image {at} of run {made.run}, which made {made.n}")
    return range(int(at), int(at) + 1)


__all__ = ["Recorded", "model_of", "place_of", "recorded"]
