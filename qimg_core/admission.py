"""What a policy sees and what it answers (floor 3; imports admission_words).

`qimg_core.admission_input` has the closed, typed input that a policy makes of what it sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core.admission_words import UNSTATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_core.job import JSON
    from qimg_core.ledger.base import Ledger

STATED = ("purpose", "sensitivity", "consent", "region", "export_class", "risk_tier", "dataset", "manifest")
"""What a caller may state about a run."""


@frozen(kw_only=True, eq=False)
class Asked:
    """One plan as the core hands it to policies: plain facts, to be made an `AdmissionInput` by the policy.

    Args:
        facts: the fields of `AdmissionInput` that the core knows, as JSON; not checked against any enumeration.
        ledger: opens the run's log.
    """

    facts: Mapping[str, JSON]
    ledger: Callable[[], Ledger] = field(repr=False)


@frozen(kw_only=True)
class Context:
    """Who asks, for what, with which data. Everything is a word, so that policies can match it.

    Args:
        run: the run id.
        activity: "train", "generate", "replay" or "execute".
        purpose, sensitivity, consent, region, export_class, risk_tier, dataset, manifest: as the caller states them;
            "unstated" otherwise. ``region`` is where the data must stay, ``dataset`` a digest.
        workload: upper bounds as decimal strings.
        asked: the plan that is to be admitted, or was last; None where no plan was. For ``qimg_screen``: the
            last plan's facts with the weights of the images, also where no plan was.
        obligations: what the admitted plans of this run oblige to.
        marks: what the images will be marked with: names in the ``MARKS`` of the marking plugins.
    """

    run: str
    activity: str
    purpose: str = UNSTATED
    sensitivity: str = UNSTATED
    consent: str = UNSTATED
    region: str = UNSTATED
    export_class: str = UNSTATED
    risk_tier: str = UNSTATED
    dataset: str = UNSTATED
    manifest: str = UNSTATED
    workload: Mapping[str, str] = field(factory=dict)
    asked: Asked | None = field(default=None, repr=False, eq=False)
    obligations: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


@frozen(kw_only=True)
class Decision:
    """A policy's answer.

    Args:
        verdict: "allow", "deny", or "needs_approval" (which refuses until somebody approves).
        policy: name and version of what decided.
        reasons: in words.
        obligations: what must hold afterwards.
        hint: what would satisfy a refusal, if possible a command.
        record: facts of an entry ``policy.decided``, written before anything is sent; empty for none.
        artefacts: what that entry names, by name.
    """

    verdict: Literal["allow", "deny", "needs_approval"]
    policy: str
    reasons: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    hint: str = ""
    record: Mapping[str, Any] = field(factory=dict)
    artefacts: Mapping[str, bytes] = field(factory=dict, repr=False)
