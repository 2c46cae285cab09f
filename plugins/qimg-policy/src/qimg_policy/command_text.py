"""Rulings as lines and documents (imports ruling)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qimg_policy.ruling import Ruling


def ruling_document(ruling: Ruling) -> dict[str, Any]:
    """For ``--json``."""
    return {**ruling.outcome(), "input": ruling.document, "latency_us": ruling.latency_us}


def ruling_lines(ruling: Ruling) -> list[str]:
    """For people: the verdict, every reason and what would satisfy it."""
    return outcome_lines({**ruling.outcome(), "latency_us": ruling.latency_us})


def outcome_lines(outcome: dict[str, Any]) -> list[str]:
    """The same, of a recorded outcome."""
    lines = [str(outcome["verdict"])]
    for f in outcome["findings"]:
        rule = f" {f['rule']}" if f["rule"] else ""
        lines.append(f"  {f['code']}{rule}: {f['reason']}")
        if f["satisfy"]:
            lines.append(f"    to satisfy it: {f['satisfy']}")
        if f["approval"]:
            lines.append(f"    an approval lifts it: {f['approval']}")
    lines += [f"  {control}: {state}" for control, state in outcome["controls"].items()]
    if outcome["obligations"]:
        lines.append(f"  obliges to: {', '.join(outcome['obligations'])}")
    return lines
