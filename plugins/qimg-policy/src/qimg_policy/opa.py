"""OPA over HTTP (imports engine, settings; httpx inside functions).

``POST /v1/data/<path>?strict-builtin-errors=true&provenance=true`` with ``{"input": ...}``, as OPA's REST API documents
it. An undefined document answers 200 without ``result``; that denies, as does everything but the agreed answer::

    {"allow": true, "controls": ["reach", ...], "deny": {"rule": "reason", ...}, "errors": [], "obligations": [],
     "words": {"reach": {"reason": "...", "satisfy": "...", "approval": "data"}, ...}}

Everything but ``allow`` may be left out; ``words`` are how rules explain themselves. Numbers that are not known are
absent from the input: a rule that compares them is undefined, so that a control gives no evidence. The environment is
there where the bundle names it. One question, no retry.

The digest of a bundle that asks a server covers its settings, its cases and the Rego files beside them, and not what
the server runs. The server says that by the revisions of its bundles, which are in the record of each decision; where
``[engine] revision`` is set, another one refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.admission_words import Approval, Obligation
from qimg_policy.engine import Answer, Engine, EngineFailed, Words
from qimg_policy.settings import Environment
from qimg_policy.toml_table import NAME

if TYPE_CHECKING:
    import httpx

    from qimg_core.admission_input import AdmissionInput
    from qimg_policy.settings import Settings

CONNECT_S, READ_S = 0.5, 2.0
START = "start it, e.g. opa run --server BUNDLE.tar.gz; policy.toml says where: [engine] url"
_LARGEST = 1_000_000
_REVISION = 200  # longer than one that policy.toml may want, so that what is cut off never makes two equal
_KEYS = {"allow", "controls", "deny", "errors", "obligations", "words"}
_WORDS = {"reason", "satisfy", "approval"}


class OpaEngine(Engine):
    """A policy server.

    Args:
        settings: of the bundle; its engine's url and path.
        client: for tests.
    """

    name = "opa"

    def __init__(self, settings: Settings, client: httpx.Client | None = None) -> None:
        import httpx

        self._url = f"{settings.engine.url.rstrip('/')}/v1/data/{settings.engine.path}"
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        self._client = client or httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False)
        self._environment = settings.environment
        self._server = "unknown"

    @property
    def version(self) -> str:
        """What the server says of itself in its last answer."""
        return self._server

    def ask(self, given: AdmissionInput) -> Answer:
        """Ask once."""
        import httpx

        document = {k: v for k, v in given.to_json().items() if v is not None}
        if self._environment is not Environment.UNNAMED:
            document["environment"] = str(self._environment)
        params = {"strict-builtin-errors": "true", "provenance": "true"}
        try:
            response = self._client.post(self._url, params=params, json={"input": document})
        except httpx.ConnectTimeout as error:
            raise EngineFailed("E_UNREACHABLE", f"no policy server at {self._url}", hint=START) from error
        except httpx.TimeoutException as error:
            raise EngineFailed("E_TIMEOUT", f"the policy server did not answer within {READ_S:g} s") from error
        except httpx.TransportError as error:
            why = f"no policy server at {self._url}: {type(error).__name__}"
            raise EngineFailed("E_UNREACHABLE", why, hint=START) from error
        if response.status_code != 200:
            raise EngineFailed("E_ENGINE", f"the policy server answered {response.status_code}")
        if len(response.content) > _LARGEST:
            raise EngineFailed("E_ENGINE", "the policy server's answer is over 1 MB")
        try:
            answer = response.json()
        except (ValueError, RecursionError) as error:
            raise EngineFailed("E_ENGINE", "the policy server's answer is no JSON") from error
        return self._read(answer)

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def _read(self, answer: Any) -> Answer:
        if not isinstance(answer, dict) or "result" not in answer:
            raise EngineFailed("E_UNDEFINED", "the policy is undefined for this input", hint="give allow a default")
        result = answer["result"]
        if not isinstance(result, dict) or not set(result) <= _KEYS or type(result.get("allow")) is not bool:
            raise EngineFailed("E_UNDEFINED", f"the policy server's result is not of the form {sorted(_KEYS)}")
        controls, errors, owed = (result.get(k, []) for k in ("controls", "errors", "obligations"))
        deny = result.get("deny", {})
        lists = all(isinstance(v, list) and all(isinstance(w, str) for w in v) for v in (controls, errors, owed))
        known = lists and set(owed) <= set(Obligation) and all(NAME.fullmatch(c) for c in controls)
        if not known or not isinstance(deny, dict) or not all(isinstance(v, str) for v in deny.values()):
            raise EngineFailed("E_UNDEFINED", "the policy server's result has a value of another type or word")
        provenance = answer.get("provenance")
        provenance = provenance if isinstance(provenance, dict) else {}
        self._server = f"opa {str(provenance.get('version', 'unknown'))[:40]}"
        return Answer(
            allow=result["allow"],
            errors=tuple(errors),
            controls=frozenset(controls),
            forbids=tuple(sorted(deny)),
            obligations=tuple(sorted(owed)),
            words=_words(result.get("words", {}), deny),
            revision=_revision(provenance),
        )


def _words(said: Any, deny: dict[str, str]) -> dict[str, Words]:
    """How the rules explain themselves; the reason of a refusal comes with it."""
    good = isinstance(said, dict) and all(isinstance(w, dict) and set(w) <= _WORDS for w in said.values())
    good = good and all(isinstance(v, str) for w in said.values() for v in w.values())
    if not good or not {w["approval"] for w in said.values() if "approval" in w} <= set(Approval):
        raise EngineFailed("E_UNDEFINED", f"the policy server's words are not of the form {sorted(_WORDS)}")
    return {
        name: Words(
            reason=deny.get(name, "") or said.get(name, {}).get("reason", ""),
            satisfy=said.get(name, {}).get("satisfy", ""),
            approval=Approval(said[name]["approval"]) if "approval" in said.get(name, {}) else None,
        )
        for name in sorted({*said, *deny})
    }


def _revision(provenance: dict[str, Any]) -> str:
    """Of all bundles that the server runs, in order of their names; ``?`` for one that has none, so that it shows."""
    bundles = provenance.get("bundles")
    if not isinstance(bundles, dict):
        return str(provenance.get("revision", ""))[:_REVISION]
    revisions = [b.get("revision") if isinstance(b, dict) else None for _, b in sorted(bundles.items())]
    return "+".join(str(r or "?") for r in revisions)[:_REVISION]
