"""What a policy sees and what it answers (floor 3; imports errors only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen(kw_only=True)
class Context:
    """Who asks, for what, with which data. Everything is a word, so that policies can match it.

    Args:
        run: the run id.
        activity: "train", "generate", "replay" or "execute".
        purpose, sensitivity, consent, region: as the caller states them; "unstated" otherwise.
        workload: upper bounds as decimal strings.
    """

    run: str
    activity: str
    purpose: str = "unstated"
    sensitivity: str = "unstated"
    consent: str = "unstated"
    region: str = "unstated"
    workload: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Decision:
    """A policy's answer.

    Args:
        verdict: "allow", "deny", or "needs_approval" (which refuses until somebody approves).
        policy: name and version of what decided.
        reasons: in words.
        obligations: what must hold afterwards.
    """

    verdict: Literal["allow", "deny", "needs_approval"]
    policy: str
    reasons: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
