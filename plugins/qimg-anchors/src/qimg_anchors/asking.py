"""One witness, asked over HTTP by C2SP tlog-witness (imports request and wire).

No secret goes out and what comes back is checked by its signature, so plain http serves as well as https. Nothing
follows a redirect. One question is repeated once: after a 409, from the size that the witness says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_anchors.request import origin_hash, read_size, write_request
from qimg_anchors.wire import checked_url, exchange, new_client
from qimg_core.errors import LedgerCorrupt, OutsideMemoryError, QimgError
from qimg_core.ledger.cosignature import signature_line, verify_note
from qimg_core.ledger.note import split_note
from qimg_core.ledger.remembered import compare, signed_head

if TYPE_CHECKING:
    import httpx

    from qimg_anchors.wire import Reply
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.cosignature import Signed
    from qimg_core.ledger.note import Checkpoint
    from qimg_core.ledger.witness_policy import Witness


@frozen
class Cosigned:
    """A right answer: the witness's signature line, and the time in it."""

    line: bytes
    signed: Signed


class WitnessClient:
    """Asks one witness.

    Args:
        witness: name, key and submission prefix, of a policy.
        monitoring: prefix under which it shows its heads; the submission prefix by default.
        timeout: seconds for connecting, and for each read.
        transport: replaces the network in tests.

    Raises:
        ConfigurationError: a URL that is none.
    """

    def __init__(
        self,
        witness: Witness,
        *,
        monitoring: str | None = None,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.witness = witness
        self._submission = checked_url(witness.url or "", f"the witness {witness.name}")
        self._monitoring = checked_url(monitoring, f"the witness {witness.name}") if monitoring else self._submission
        self._timeout, self._transport = timeout, transport
        self._http: httpx.Client | None = None

    def cosign(self, ledger: Ledger, note: bytes, head: Checkpoint, old: int) -> Cosigned:
        """Have a head cosigned.

        Args:
            ledger: makes the consistency proof.
            note: the signed checkpoint.
            head: what it says.
            old: size of the head that the witness is believed to hold; a wrong guess costs one more question.

        Raises:
            OutsideMemoryError: it did not cosign.
            LedgerCorrupt: it shows a head signed by this log that this log contradicts.
        """
        reply = self._ask(ledger, note, head, old)
        if reply.status == 409:
            size = read_size(reply.content_type, reply.body)
            if size is None or size == old:
                raise OutsideMemoryError("answered 409 without the size that it holds")
            if size > head.size:
                self._contradicted(ledger)
                raise OutsideMemoryError(f"says that it holds a head over {size:,} entries; this one has {head.size:,}")
            reply = self._ask(ledger, note, head, size)
            if reply.status == 409:
                raise OutsideMemoryError("answered 409 twice: somebody else hands it heads of this log")
        if reply.status == 200:
            return self._cosigned(note, reply.body)
        raise self._refused(ledger, reply.status)

    def held(self, origin: str) -> bytes | None:
        """The note of the newest head that it shows, cosigned by it; None where it never cosigned one.

        Raises:
            OutsideMemoryError: unreachable, or what it shows is not cosigned by it.
        """
        reply = self._send("GET", f"{self._monitoring}/{origin_hash(origin)}/checkpoint", None)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise OutsideMemoryError(f"answered {reply.status} when asked for the newest head")
        try:
            head, signed = verify_note(reply.body, [self.witness.key])
        except LedgerCorrupt as error:
            raise OutsideMemoryError(f"shows a head that does not hold: {error.message}") from error
        if not signed or head.origin != origin:
            raise OutsideMemoryError("shows a head that it did not cosign, or of another log")
        return reply.body

    def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _ask(self, ledger: Ledger, note: bytes, head: Checkpoint, old: int) -> Reply:
        proof = ledger.consistency(old, head.size) if 0 < old < head.size else ()
        return self._send("POST", f"{self._submission}/add-checkpoint", write_request(old, proof, note))

    def _cosigned(self, note: bytes, body: bytes) -> Cosigned:
        text, _ = split_note(note)
        try:
            _, signed = verify_note(text + b"\n" + body, [self.witness.key])
            lines = split_note(text + b"\n" + body)[1]
        except LedgerCorrupt as error:
            raise OutsideMemoryError(f"its cosignature does not hold: {error.message}") from error
        if not signed:
            raise OutsideMemoryError("its answer bears no signature by the key in the policy")
        key = self.witness.key
        line = next(line for line in lines if (line.name, line.key_id) == (key.name, key.id))
        return Cosigned(signature_line(key, line.signature), signed[0])

    def _refused(self, ledger: Ledger, status: int) -> QimgError:
        if status == 422:
            self._contradicted(ledger)
            return OutsideMemoryError("refused (422): it holds a head that this log does not continue")
        if status == 404:
            return OutsideMemoryError("does not know this log (404): give its operator the file keys/log.vkeys")
        if status == 403:
            return OutsideMemoryError(
                "does not trust the keys that signed this head (403): give its operator keys/log.vkeys anew"
            )
        return OutsideMemoryError(f"answered {status}")

    def _contradicted(self, ledger: Ledger) -> None:
        """Raise where the witness shows a head, signed by this log's own key, that this log contradicts."""
        try:
            note = self.held(ledger.origin)
            if note is None:
                return
            head, signed = signed_head(ledger, note)
        except QimgError:
            return
        found = compare(ledger, head, self.witness.name)
        if signed and found is not None:
            raise LedgerCorrupt(f"{found.what}; both are signed by this log's own key")

    def _send(self, method: str, url: str, body: bytes | None) -> Reply:
        headers = {} if body is None else {"Content-Type": "text/plain; charset=utf-8"}
        return exchange(self._client(), method, url, body, headers)

    def _client(self) -> httpx.Client:
        if self._http is None:
            self._http = new_client(self._timeout, self._transport)
        return self._http
