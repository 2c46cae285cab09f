"""How a device would compute a request, in words (floor 1; imports nothing of ours)."""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen


@frozen(kw_only=True)
class Explanation:
    """What a device says of a request before it runs.

    Args:
        device: its name.
        engine: what computes.
        regime: the way of computing that was chosen.
        reasons: why that one.
        steps: what is done, in order.
    """

    device: str
    engine: str
    regime: str
    reasons: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
