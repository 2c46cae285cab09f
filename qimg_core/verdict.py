"""The one type of every verdict (floor 0: imports nothing).

A check that could not decide says so: `inconclusive` is never folded into pass or fail.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not_applicable"
