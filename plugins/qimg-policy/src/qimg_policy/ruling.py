"""`Ruling`: a decision with everything that led to it (imports canonical JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from qimg_core.admission_words import Approval
    from qimg_core.job import JSON

SCHEMA = "qimg.decision/1"

CODES = {
    "E_INPUT": "the input is not one that this policy can decide",
    "E_BUNDLE": "the policy bundle cannot be used",
    "E_SIGNATURE": "the policy bundle is not signed by anybody who is trusted",
    "E_DRIFT": "the running policy is not the pinned one",
    "E_ENGINE": "the engine failed",
    "E_TIMEOUT": "the engine did not answer in time",
    "E_UNREACHABLE": "the policy server cannot be reached",
    "E_UNDEFINED": "the engine gave no decision",
    "E_ERRORS": "a rule could not be evaluated",
    "E_FORBIDDEN": "a rule forbids it",
    "E_NO_EVIDENCE": "a mandatory control is not satisfied",
    "E_NOT_PERMITTED": "no rule permits it",
    "E_CLOCK": "the clock is behind the record",
    "I_LOCAL_WHEN_DOWN": "in-process work goes on while the policy server cannot be asked",
    "I_WAIVED": "a control is waived",
    "I_APPROVAL": "an approval was not counted",
}
"""E: refuses. I: is said."""

_SERVER = "qimg policy show names the policy and its server, which has to run and to answer"
HELPS = {
    "E_BUNDLE": "qimg policy lint FOLDER says what is wrong with the bundle",
    "E_SIGNATURE": "qimg policy diff shows what was changed; then qimg policy sign FOLDER --key NAME.key.pem",
    "E_ENGINE": _SERVER,
    "E_TIMEOUT": _SERVER,
    "E_UNREACHABLE": _SERVER,
    "E_UNDEFINED": _SERVER,
}
"""The command that helps, where a finding names none."""


@frozen(kw_only=True)
class Finding:
    """One reason.

    Args:
        code: of `CODES`.
        rule: id of the rule or control, or empty.
        reason: why, in words.
        satisfy: what would satisfy it.
        approval: the approval that lifts it.
    """

    code: str
    rule: str = ""
    reason: str = ""
    satisfy: str = ""
    approval: Approval | None = None

    @property
    def helps(self) -> str:
        """What would satisfy it, with the command that helps."""
        command = "" if "qimg " in self.satisfy else HELPS.get(self.code, "")
        return "; ".join(part for part in (self.satisfy, command) if part)

    @property
    def refuses(self) -> bool:
        """Or only says something."""
        return self.code.startswith("E_")

    def __str__(self) -> str:
        where = f" {self.rule}" if self.rule else ""
        return f"{self.code}{where}: {self.reason or CODES[self.code]}"

    def to_json(self) -> dict[str, JSON]:
        """For the record."""
        return {
            "code": self.code,
            "rule": self.rule,
            "reason": self.reason,
            "satisfy": self.satisfy,
            "approval": None if self.approval is None else str(self.approval),
        }


@frozen(kw_only=True)
class Ruling:
    """The kernel's answer.

    Args:
        verdict: allow, deny, or needs_approval (which refuses).
        findings: every reason, those that refuse first.
        controls: each mandatory control: ``pass``, ``waived`` or ``no evidence``.
        obligations: of an admitted plan.
        document: the input as it was decided, as JSON.
        engine, engine_version, revision: what decided.
        latency_us: of the decision, microseconds.
    """

    verdict: Literal["allow", "deny", "needs_approval"]
    findings: tuple[Finding, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()
    obligations: tuple[str, ...] = ()
    document: Any
    engine: str = ""
    engine_version: str = ""
    revision: str = ""
    latency_us: int = 0

    @property
    def allowed(self) -> bool:
        """The only verdict under which anything runs."""
        return self.verdict == "allow"

    def input_bytes(self) -> bytes:
        """The decided input in canonical JSON."""
        return canonical.dumps(self.document)

    @property
    def input_digest(self) -> str:
        """``sha256:`` of `input_bytes`."""
        return sha256_digest(self.input_bytes())

    def outcome(self) -> dict[str, JSON]:
        """What a replay has to give again: all but the engine's version and the time it took."""
        return {
            "verdict": self.verdict,
            "findings": [f.to_json() for f in self.findings],
            "controls": dict(self.controls),
            "obligations": list(self.obligations),
            "engine": self.engine,
            "revision": self.revision,
        }
