"""Quantum random numbers from a service, with a recorded fallback to the PRNG (imports qimg_core; torch, httpx late).

Nothing is asked of any service unless ``QIMG_NOISE_SOURCE`` names it, `attach` was called, or a model was told to. The
numbers are then fetched, or, where the service does not give them, drawn from the seed, which is logged as a warning
and written into the record; with ``QIMG_NOISE_SOURCE=qrng:no-fallback`` the run is refused instead. The default is
the interface of the Australian National University (https://quantumnumbers.anu.edu.au): it answers
``GET /?length=N&type=uint8`` with ``{"success": true, "type": "uint8", "length": "N", "data": [...]}``, N up to 1024.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_core.credentials import credential_from_environment
from qimg_core.errors import BackendError, ConfigurationError, ProtocolError
from qimg_core.generation import session_noise
from qimg_core.hooks import SuppliedNoise, hookimpl
from qimg_core.http import RestClient
from qimg_core.planning import PlanningSession
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    import httpx
    import numpy.typing as npt

    from qimg_core.credentials import Credential
    from qimg_core.session import Session

    Bytes = npt.NDArray[np.uint8]
    Array = npt.NDArray[np.float32]

log = logging.getLogger("qimg")

SOURCE, STRICT = "qrng", "no-fallback"
ANU = "https://api.quantumnumbers.anu.edu.au"
KEYS = ("QIMG_QRNG_KEY",)
URL = "QIMG_QRNG_URL"
MOST = 1024
"""Numbers of one answer."""
LEAST_KINDS = 8
"""Different values among 256 bytes or more: a source that is stuck has fewer, a sound one never."""


class QuantumNumbers:
    """A service's random bytes.

    Args:
        url: of the interface; None takes ``QIMG_QRNG_URL``, else ANU's.
        credential: None takes the key of ``QIMG_QRNG_KEY``, sent as ``x-api-key``.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        credential: Credential | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get(URL) or ANU
        key = credential or credential_from_environment(KEYS, purpose="QRNG API key", hint="ask the service for one")
        self.rest = RestClient(
            url, provider="qrng", credential=key, header="x-api-key", scheme="", read=20.0, transport=transport
        )

    def draw(self, n: int) -> Bytes:
        """N bytes, (n,); as many requests as it takes, one after the other.

        Raises:
            BackendError: see `RestClient.get`; nothing is repeated.
            ProtocolError: an answer that is not what was asked, or whose numbers are all the same.
        """
        with self.rest:  # connections are not kept from one draw to the next
            parts = [self._once(min(MOST, n - at)) for at in range(0, n, MOST)]
        found = np.concatenate([np.zeros(0, dtype=np.uint8), *parts])
        if n >= 256 and len(np.unique(found)) < LEAST_KINDS:
            raise ProtocolError(f"qrng: {n} bytes of {len(np.unique(found))} different values are not random")
        return found

    def _once(self, n: int) -> Bytes:
        document = self.rest.get("/", {"length": n, "type": "uint8"}).json()
        answer = document if isinstance(document, dict) and document.get("success") is True else {}
        data = answer.get("data")
        if not isinstance(data, list) or len(data) != n or not all(type(v) is int and 0 <= v < 256 for v in data):
            raise ProtocolError(f"qrng: wanted {n} numbers from 0 to 255, got another answer")
        return np.array(data, dtype=np.uint8)


@frozen(kw_only=True, eq=False)
class Drawn:
    """Random bytes and where they come from.

    Args:
        data: (n,) uint8.
        source: ``qrng``, or ``prng`` after a fallback.
        reason: why not the service; None where it was.
        digest: of the artefact that holds the bytes.
        entry: number of the ledger entry ``noise.drawn``.
    """

    data: Bytes
    source: str
    reason: str | None
    digest: str
    entry: int

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return {"asked": "qrng", "source": self.source, "reason": self.reason, "bytes": self.digest}


def draw(session: Session, numbers: QuantumNumbers, n: int, *, seed: int, purpose: str, fallback: bool = True) -> Drawn:
    """N random bytes of the service, or of the PRNG where it fails; kept as an artefact and recorded either way.

    Args:
        session: keeps the record.
        numbers: the service.
        n: bytes.
        seed: of the PRNG.
        purpose: what they are for, in words.
        fallback: whether the PRNG may step in.

    Raises:
        BackendError: the service failed and there is no fallback.
        ConfigurationError: no bytes.
    """
    if n < 1:
        raise ConfigurationError(f"wanted 1 random byte or more, got {n}")
    source, reason = "qrng", None
    try:
        data = numbers.draw(n)
    except BackendError as error:
        if not fallback:
            raise
        source, reason = "prng", f"{type(error).__name__}: {error.message}"
        log.warning("quantum random numbers for %s could not be had, the PRNG stands in: %s", purpose, reason)
        stand_in = np.random.Generator(np.random.PCG64(derive_seed(seed, "qrng")))
        data = stand_in.integers(0, 256, n, dtype=np.uint8)
    digest = session.put(data.tobytes())
    facts = {
        "schema": "qimg.noise/1",
        "purpose": purpose,
        "asked": "qrng",
        "url": numbers.rest.base_url,
        "source": source,
        "reason": reason,
        "n": n,
        "seed": str(seed) if source == "prng" else None,
        "artefacts": {"bytes": digest},
    }
    gaps = [] if source == "qrng" else [("qrng", str(reason))]
    entry = session.record("noise.drawn", facts, gaps=gaps)
    return Drawn(data=data, source=source, reason=reason, digest=digest, entry=entry.index)


def normal_of(data: Bytes) -> Array:
    """Four bytes to one standard normal number, (n // 4,) float32: ndtri((u + 1/2) / 2**32), u big-endian."""
    import torch

    u = data[: len(data) // 4 * 4].view(">u4").astype(np.float64)
    out: Array = torch.special.ndtri(torch.from_numpy((u + 0.5) / 2**32)).float().numpy()
    return out


@hookimpl
def qimg_noise(context: dict[str, Any]) -> SuppliedNoise | None:
    """Initial noise from the service, where the user asked for the source ``qrng`` or ``qrng:no-fallback``.

    Raises:
        ConfigurationError: ``qrng:`` with something else behind it.
        BackendError: the service failed, and ``no-fallback`` was asked for.
    """
    name, _, option = (context["source"] or "").partition(":")
    if name != SOURCE:
        return None
    if option not in ("", STRICT):
        raise ConfigurationError(f"the noise source {SOURCE} takes {SOURCE}:{STRICT}, got {context['source']!r}")
    return supplied(context, QuantumNumbers(), fallback=option != STRICT)


def supplied(context: dict[str, Any], numbers: QuantumNumbers, *, fallback: bool) -> SuppliedNoise:
    """Noise for the ``qimg_noise`` hook's context: of the service, or of the PRNG where it fails.

    Raises:
        BackendError: the service failed and there is no fallback.
    """
    session, shape = context["session"], (context["n"], *context["shape"])
    if isinstance(session, PlanningSession):
        values = session_noise(context["n"], context["shape"], seed=context["seed"], start=context["start"])
        return SuppliedNoise(values=values, source="prng", reason="a plan asks nothing of a service")
    drawn = draw(
        session,
        numbers,
        4 * math.prod(shape),
        seed=context["seed"],
        purpose=f"initial noise {shape} from image {context['start']} on",
        fallback=fallback,
    )
    values = normal_of(drawn.data).reshape(shape)
    facts = {"entry": drawn.entry, "bytes": drawn.digest}
    return SuppliedNoise(values=values, source=drawn.source, reason=drawn.reason, facts=facts)


class QuantumNoise:
    """The ``qimg_noise`` hook of one session: initial noise from the service instead of the session's own source.

    Args:
        session: whose noise it is; other runs of the same registry keep theirs.
        numbers: the service.
        fallback: whether the PRNG may step in.
    """

    def __init__(self, session: Session, numbers: QuantumNumbers, *, fallback: bool = True) -> None:
        self.session, self.numbers, self.fallback = session, numbers, fallback

    @hookimpl
    def qimg_noise(self, context: dict[str, Any]) -> SuppliedNoise | None:
        """(n, *shape) float32."""
        if context["session"] is not self.session:
            return None
        return supplied(context, self.numbers, fallback=self.fallback)


def attach(session: Session, numbers: QuantumNumbers | None = None, *, fallback: bool = True) -> QuantumNoise:
    """From now on the initial noise of this session's images is made of quantum random numbers.

    The seed then says nothing about the noise: the record holds the noise itself, and a replay takes it from there.

    Args:
        session: whose registry the hook joins.
        numbers: the service; None is ANU's.
        fallback: whether the PRNG may step in, loudly.
    """
    hook = QuantumNoise(session, numbers or QuantumNumbers(), fallback=fallback)
    session.registry.register(hook, f"qrng-{session.run}")
    return hook
