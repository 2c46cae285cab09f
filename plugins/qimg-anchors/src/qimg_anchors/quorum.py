"""A quorum of witnesses as one outside memory (imports asking and the core's witness_policy)."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qimg_anchors.asking import WitnessClient
from qimg_anchors.wire import checked_timeout
from qimg_core.errors import ConfigurationError, LedgerCorrupt, OutsideMemoryError, QimgError
from qimg_core.ledger.base import Problem
from qimg_core.ledger.cosignature import verify_note
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.outside import OutsideMemory, Receipt
from qimg_core.ledger.receipts import last_kept
from qimg_core.ledger.witness_policy import NONE, parse_policy
from qimg_core.storage import sha256_digest, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    import httpx

    from qimg_anchors.asking import Cosigned
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.cosignature import Signed

    T = TypeVar("T")


class WitnessQuorum(OutsideMemory):
    """Witnesses that a policy file names; a head is kept when those that cosigned it make the quorum.

    Args:
        name: of the memory.
        policy: a C2SP tlog-policy file; each witness that is to be asked has a URL there.
        folder: against which a relative ``policy`` is read.
        timeout: seconds for connecting to a witness, and for each read.
        monitoring: name of a witness -> the prefix under which it shows its heads, where that is not the URL in
            the policy.
        transport: replaces the network in tests.

    Raises:
        ConfigurationError: a file that is no policy, that demands nobody, or whose quorum cannot be reached
            with the witnesses that have a URL.
        StorageError: it cannot be read.
    """

    kind: Literal["witness"] = "witness"

    def __init__(
        self,
        name: str,
        policy: str,
        folder: Path | None = None,
        timeout: float = 10.0,
        monitoring: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = name
        path = (folder or Path()) / policy
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ConfigurationError(f"no policy file {path}") from error
        except OSError as error:
            raise storage_error(error, "read", path) from error
        self.policy, self._digest = parse_policy(data, str(path)), sha256_digest(data)
        if self.policy.quorum == NONE:
            raise ConfigurationError(f"{path}: `quorum none` demands no witness, so nobody would remember")
        checked_timeout(timeout)
        shown = dict(monitoring or {})
        if unknown := sorted(set(shown) - set(self.policy.witnesses)):
            raise ConfigurationError(f"monitoring: no witness {unknown[0]!r} in {path}")
        self._clients = {
            witness.name: WitnessClient(
                witness, monitoring=shown.get(witness.name), timeout=timeout, transport=transport
            )
            for witness in self.policy.witnesses.values()
            if witness.url is not None
        }
        if not self.policy.satisfied(set(self._clients)):
            raise ConfigurationError(f"{path}: the witnesses with a URL cannot make the quorum {self.policy.wanted}")
        self._seen: dict[str, dict[str, bytes | QimgError | None]] = {}

    def keep(self, ledger: Ledger, note: bytes) -> Receipt:
        """Ask every witness at once; see `OutsideMemory.keep`. Part of a quorum is no quorum."""
        text, _ = split_note(note)
        head = Checkpoint.parse(text)
        old = self._last(ledger)
        answers = self._all(lambda client: client.cosign(ledger, note, head, old.get(client.witness.name, 0)))
        good: dict[str, Cosigned] = {n: a for n, a in answers.items() if not isinstance(a, QimgError)}
        bad = {name: answer for name, answer in answers.items() if isinstance(answer, QimgError)}
        said = "; ".join(f"{name}: {error.message}" for name, error in bad.items())
        if any(isinstance(error, LedgerCorrupt) for error in bad.values()):
            raise LedgerCorrupt(said)
        if not self.policy.satisfied(set(good)):
            by = ", ".join(good) or "none"
            raise OutsideMemoryError(f"wanted cosignatures of {self.policy.wanted}, got {by}; {said}")
        return Receipt(
            memory=self.name,
            kind="witness",
            size=head.size,
            root=head.root,
            evidence=text + b"\n" + b"".join(answer.line for answer in good.values()),
            facts={
                "policy": self._digest,
                "cosigned": [_shown(name, answer.signed) for name, answer in good.items()],
                "refused": [{"witness": name, "reason": error.message[:500]} for name, error in bad.items()],
            },
        )

    def check(self, receipt: Receipt, note: bytes) -> tuple[Problem, ...]:
        """Verify the cosignatures against the policy of today, offline."""
        where = f"head {receipt.size}"
        text, _ = split_note(note)
        keys = {(w.key.name, w.key.id): w.name for w in self.policy.witnesses.values()}
        try:
            head, signed = verify_note(receipt.evidence, [w.key for w in self.policy.witnesses.values()])
            about = split_note(receipt.evidence)[0]
        except LedgerCorrupt as error:
            return (Problem(where, error.message),)
        if about != text or (head.size, head.root) != (receipt.size, receipt.root):
            return (Problem(where, f"the cosignatures are of another head, over {head.size:,} entries"),)
        names = {keys[line.key.name, line.key.id] for line in signed}
        shown = [_shown(keys[line.key.name, line.key.id], line) for line in signed]
        ids = {w.key.id.hex() for w in self.policy.witnesses.values()}
        stated = [line for line in receipt.facts.get("cosigned", []) if line.get("key") in ids]
        if sorted((s["key"], s["time"]) for s in shown) != sorted((s.get("key"), s.get("time")) for s in stated):
            return (Problem(where, "the receipt names other cosignatures than its evidence has"),)
        if not self.policy.satisfied(names):
            by = ", ".join(sorted(names)) or "none"
            return (Problem(where, f"wanted cosignatures of {self.policy.wanted}, found {by}"),)
        return ()

    def describe(self, receipt: Receipt) -> str:
        """How many witnesses cosigned, which, and how many were wanted."""
        keys = {(w.key.name, w.key.id): w.name for w in self.policy.witnesses.values()}
        _, signed = verify_note(receipt.evidence, [w.key for w in self.policy.witnesses.values()])
        names = [keys[line.key.name, line.key.id] for line in signed]
        return f"{len(names)} of {len(keys)} witnesses ({', '.join(names)}); wanted {self.policy.wanted}"

    def held(self, origin: str) -> tuple[bytes, ...]:
        """What each witness that answers shows now; those that do not are `newest`'s to judge."""
        self._seen[origin] = self._all(lambda client: client.held(origin))
        return tuple(note for note in self._seen[origin].values() if isinstance(note, bytes))

    def newest(self, origin: str) -> Checkpoint | None:
        """The largest head that one of them shows; see `OutsideMemory.newest`.

        Raises:
            OutsideMemoryError: those that did not answer could have made a quorum for a newer head by themselves.
        """
        seen = self._seen.pop(origin, None) or self._all(lambda client: client.held(origin))
        silent = {name: answer for name, answer in seen.items() if isinstance(answer, QimgError)}
        mute = {name for name in self.policy.witnesses if name not in seen}
        if self.policy.satisfied(set(silent) | mute):
            raise OutsideMemoryError(
                "too few witnesses answer: " + "; ".join(f"{name}: {error.message}" for name, error in silent.items())
            )
        heads = [Checkpoint.parse(_first_lines(note)) for note in seen.values() if isinstance(note, bytes)]
        return max(heads, key=lambda head: head.size, default=None)

    def close(self) -> None:
        """Let go of connections."""
        for client in self._clients.values():
            client.close()

    def _last(self, ledger: Ledger) -> dict[str, int]:
        """What each witness is believed to hold: the last head that it cosigned here."""
        entry = last_kept(ledger, [self.name]).get(self.name)
        if entry is None:
            return {}
        cosigned: list[dict[str, Any]] = entry.facts.get("facts", {}).get("cosigned", [])
        return {str(line.get("witness")): int(entry.facts["size"]) for line in cosigned}

    def _all(self, ask: Callable[[WitnessClient], T]) -> dict[str, T | QimgError]:
        """One answer or error for each witness, asked at once, in the order of the policy."""

        def one(client: WitnessClient) -> T | QimgError:
            try:
                return ask(client)
            except QimgError as error:
                return error

        with ThreadPoolExecutor(max_workers=min(32, len(self._clients))) as pool:
            return dict(zip(self._clients, pool.map(one, self._clients.values()), strict=True))


def _shown(name: str, signed: Signed) -> dict[str, str]:
    when = dt.datetime.fromtimestamp(signed.time or 0, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"witness": name, "key": signed.key.id.hex(), "time": when}


def _first_lines(note: bytes) -> bytes:
    return b"\n".join(note.split(b"\n")[:3]) + b"\n"
