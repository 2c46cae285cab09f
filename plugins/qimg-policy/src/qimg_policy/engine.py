"""`Engine`: what evaluates rules, and what the kernel wants to hear from it (imports admission input)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import QimgError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.admission_input import AdmissionInput
    from qimg_core.admission_words import Approval


class EngineFailed(QimgError):
    """An engine gave no decision. ``code`` says why: one of `qimg_policy.ruling.CODES`."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


@frozen(kw_only=True)
class Words:
    """How a rule explains itself."""

    reason: str = ""
    satisfy: str = ""
    approval: Approval | None = None


@frozen(kw_only=True)
class Answer:
    """What an engine says of one input. Nothing in it alone allows anything; see `qimg_policy.kernel`.

    Args:
        allow: the engine's own decision.
        errors: of the evaluation; one of them denies.
        controls: ids that report positive evidence.
        forbids: ids of rules that refuse.
        obligations: of the satisfied rules.
        words: of the rules that are named here or mandatory.
        revision: of the rules, where the engine knows them by one.
    """

    allow: bool
    errors: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()
    forbids: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    words: Mapping[str, Words] = field(factory=dict)
    revision: str = ""


class Engine(ABC):
    """Evaluates the rules of one bundle. Stateless between questions."""

    name: str

    @property
    @abstractmethod
    def version(self) -> str:
        """For the record."""

    @abstractmethod
    def ask(self, given: AdmissionInput) -> Answer:
        """Evaluate.

        Raises:
            EngineFailed: no decision. (The kernel takes any other exception for one, too.)
        """

    def close(self) -> None:
        """Release connections; the default does nothing."""
