"""Proposals: executed requests kept with their numbers, found again by digest (floor 5; imports keeping, ledger).

A proposal can be used a second time instead of a device (see `Proposals.find`), or be learned from (see
`Proposals.of_circuit`). Neither is silent: an entry ``proposal.reused`` names the source (see `reused`). This is
the reading side; `qimg_core.keeping` writes. Who appends the entries, and when, is the session's business.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from array import array
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.capabilities import DeviceKind
from qimg_core.errors import LedgerCorrupt
from qimg_core.execution import array_digest
from qimg_core.keeping import KEPT, SCHEMA, keep, measurement_digest, unpacked, worth_keeping
from qimg_core.measurement import measurement_from_json
from qimg_core.noise import NoiseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.job import JSON
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.measurement import Measurement

__all__ = [
    "KEPT",
    "REUSED",
    "Numbers",
    "Proposal",
    "Proposals",
    "keep",
    "measurement_digest",
    "reused",
    "worth_keeping",
]

REUSED = "proposal.reused"


@frozen(kw_only=True, eq=False)
class Numbers:
    """What a proposal's artefact holds.

    Args:
        inputs: (rows, n_inputs).
        weights: (n_weights,) or (rows, n_weights).
        data: (rows, ...), laid out as the measurement says.
        measurement: what was measured.
        noise: the model that disturbed the circuit on a simulator.
    """

    inputs: FloatArray
    weights: FloatArray
    data: Any
    measurement: Measurement
    noise: NoiseModel | None


@frozen(kw_only=True)
class Proposal:
    """One kept execution. Its numbers stay in the ledger until they are asked for.

    Args:
        entry, entry_digest: the entry ``proposal.kept``.
        request, any_seed: digest of the request, and of the same request without its seed.
        circuit, measurement, inputs, weights, output, noise: digests.
        plain: neither mitigated nor contracted with read-out matrices.
        rows, shots, seed: as executed.
        backend, device_kind: what ran.
        run, ordinal: the execution.
        snapshot: digest of the device's snapshot.
        at: when it was executed.
        artefact: digest of the numbers.
    """

    entry: int
    entry_digest: str
    request: str
    any_seed: str
    circuit: str
    measurement: str
    inputs: str
    weights: str
    output: str
    noise: str | None
    plain: bool
    rows: int
    shots: int | None
    seed: int | None
    backend: str
    device_kind: DeviceKind
    run: str
    ordinal: int
    snapshot: str | None
    at: dt.datetime
    artefact: str
    _get: Callable[[str], bytes] = field(repr=False, eq=False)

    @property
    def source(self) -> str:
        """``run/ordinal`` of the execution, for the record of whoever uses its numbers."""
        return f"{self.run}/{self.ordinal}"

    def age(self, now: dt.datetime) -> dt.timedelta:
        """Time since it was executed; negative where the clocks of two machines disagree."""
        return now - self.at

    def numbers(self) -> Numbers:
        """The arrays, hashed again on the way.

        Raises:
            LedgerCorrupt: they are not what the entry vouches for.
            LedgerError: the artefact is gone.
        """
        blob = self._get(self.artefact)
        try:
            document, arrays = unpacked(blob)
        except Exception as cause:  # whatever a damaged file makes the reader raise
            raise LedgerCorrupt(f"the artefact of proposal {self.entry} cannot be read: {cause}") from cause
        for name, wanted in (("inputs", self.inputs), ("weights", self.weights), ("data", self.output)):
            if (found := array_digest(arrays[name])) != wanted:
                raise LedgerCorrupt(
                    f"proposal {self.entry}: {name} have the digest {found}, the entry says {wanted}",
                    hint="qimg verify names everything that does not hold",
                )
        noise = document["noise"]
        return Numbers(
            inputs=arrays["inputs"],
            weights=arrays["weights"],
            data=arrays["data"],
            measurement=measurement_from_json(document["measurement"]),
            noise=None if noise is None else NoiseModel.from_json(noise),
        )

    def data(self) -> Any:
        """The result alone; see `numbers`."""
        return self.numbers().data

    def executed_circuit(self) -> Circuit:
        """The circuit, read from its own artefact."""
        from qimg_core.circuit.ir import Circuit

        return Circuit.from_json(json.loads(self._get(self.circuit)))


def reused(proposal: Proposal, request: ExecutionRequest, *, now: dt.datetime) -> dict[str, JSON]:
    """Facts of the entry ``proposal.reused``: whose numbers answered a request, and how old they are."""
    return {
        "schema": "qimg.reuse/1",
        "request": request.digest,
        "output": proposal.output,
        "source": {
            "run": proposal.run,
            "ordinal": proposal.ordinal,
            "entry": proposal.entry,
            "entry_digest": proposal.entry_digest,
            "request": proposal.request,
            "backend": proposal.backend,
            "device_kind": proposal.device_kind.value,
            "snapshot": proposal.snapshot,
            "seed": None if proposal.seed is None else str(proposal.seed),
            "at": proposal.at.isoformat(),
        },
        "same_seed": proposal.seed == request.seed,
        "age_seconds": int(proposal.age(now).total_seconds()),
    }


class Proposals:
    """The proposals of a ledger by digest. Holds digests and places only; the numbers stay on disk.

    New entries are seen by the next question. May be asked from several threads.

    Args:
        ledger: open for reading at least.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = 0
        self._places: dict[bytes, array[int]] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Proposal]:
        """Every proposal, in the order of the log."""
        for entry in self._ledger.entries(kind=KEPT):
            if entry.facts.get("schema") == SCHEMA:
                yield _proposal(entry, self._ledger.get)

    def find(
        self,
        request: ExecutionRequest,
        *,
        backend: str | None = None,
        kinds: Collection[DeviceKind] | None = None,
        max_age: dt.timedelta | None = None,
        now: dt.datetime | None = None,
        other_seed: bool = False,
    ) -> Proposal | None:
        """The newest execution of the very same request, or None.

        Args:
            request: its digest decides: circuit, inputs, weights, measurement, shots, seed, noise, mitigation.
            backend: name of the device that ran it; None takes any. A simulator's numbers answer for
                hardware where neither ``backend`` nor ``kinds`` says otherwise.
            kinds: kinds of device that are good enough; None takes any. Surrogates are never kept.
            max_age: refuse older ones.
            now: what ages are counted from; the present by default.
            other_seed: also take the same request with another seed: other samples of the same distribution.
        """
        wanted = evolve(request, seed=None).digest if other_seed else request.digest
        now = now or dt.datetime.now(dt.UTC)
        for index in reversed(self._at("seedless" if other_seed else "request", wanted)):
            found = _proposal(self._ledger.entry(index), self._ledger.get)
            if (
                (found.any_seed if other_seed else found.request) == wanted
                and (backend is None or found.backend == backend)
                and (kinds is None or found.device_kind in kinds)
                and (max_age is None or found.age(now) <= max_age)
            ):
                return found
        return None

    def of_circuit(self, circuit: str, measurement: Measurement) -> Iterator[Proposal]:
        """Every plain proposal of a circuit (by digest) and a measurement, in the order of the log: what a
        surrogate learns from. Mitigated and contracted ones are left out: their numbers mean something else.
        """
        wanted = measurement_digest(measurement)
        for index in self._at("circuit", circuit):
            found = _proposal(self._ledger.entry(index), self._ledger.get)
            if found.circuit == circuit and found.measurement == wanted and found.plain:
                yield found

    def _at(self, what: str, digest: str) -> array[int]:
        """Places of a digest; first reads what the log has got since the last question."""
        with self._lock:
            size = len(self._ledger)
            for entry in self._ledger.entries(kind=KEPT, start=self._seen) if size > self._seen else ():
                if entry.index < size and entry.facts.get("schema") == SCHEMA:
                    p = _proposal(entry, self._ledger.get)
                    for name, value in (("request", p.request), ("seedless", p.any_seed), ("circuit", p.circuit)):
                        self._places.setdefault(_key(name, value), array("q")).append(entry.index)
            self._seen = size
            return array("q", self._places.get(_key(what, digest), ()))


def _key(what: str, digest: str) -> bytes:
    """Half of a digest is enough to find the place; the entry itself is compared in full."""
    return what[:1].encode() + digest[7:39].encode()


def _proposal(entry: Entry, get: Callable[[str], bytes]) -> Proposal:
    f = entry.facts
    try:
        at = dt.datetime.fromisoformat(f["at"])
        if at.tzinfo is None:
            raise ValueError("at: a time without its zone")
        same = ("request", "any_seed", "circuit", "measurement", "inputs", "weights", "output", "noise", "plain")
        return Proposal(
            entry=entry.index,
            entry_digest=entry.digest,
            device_kind=DeviceKind(f["device_kind"]),
            seed=None if f["seed"] is None else int(f["seed"]),
            at=at,
            artefact=entry.artefacts["proposal"],
            get=get,
            **{name: f[name] for name in (*same, "rows", "shots", "backend", "run", "ordinal", "snapshot")},
        )
    except (KeyError, TypeError, ValueError) as cause:
        raise LedgerCorrupt(f"entry {entry.index} is no proposal: {cause!r}") from cause
