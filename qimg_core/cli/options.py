"""Options that several commands share, and what their texts mean (imports click, errors).

Plugins' commands may use `json_option` and `ledger_option` too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import fields as attrs_fields
from attrs import frozen

from qimg_core.admission import STATED
from qimg_core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable

F = TypeVar("F", bound=Callable[..., Any])

ARMS = ("quantum", "twin", "separable", "frozen", "bypass")


def _json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    from qimg_core.cli.app import App

    app = ctx.ensure_object(App)
    app.json = app.json or value


def json_option(command: F) -> F:
    """``--json``."""
    text = "Print one JSON document on stdout."
    return click.option("--json", is_flag=True, expose_value=False, callback=_json, help=text)(command)


def ledger_option(command: F) -> F:
    """``--ledger``, default ``runs``."""
    return click.option(
        "--ledger",
        default="runs",
        show_default=True,
        envvar="QIMG_LEDGER",
        metavar="FOLDER",
        help="The record: a folder, or a URI that a plugin opens. Also from QIMG_LEDGER.",
    )(command)


def set_option(command: F) -> F:
    """``--set key=value``, repeatable."""
    text = "A setting of the model; repeatable."
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=text)(command)


def arm_option(command: F) -> F:
    """``--arm``."""
    text = "Which form of the model: the circuit, or what shows its worth."
    return click.option("--arm", type=click.Choice(ARMS), help=text)(command)


@frozen(kw_only=True)
class RunOptions:
    """What a command that runs something was told about the run."""

    ledger: str
    seed: int | None
    backend: str
    fallback: tuple[str, ...]
    shots: int | None
    noise: str | None
    mitigation: str | None
    proposals: str
    profile: str
    max_cost: str | None
    max_jobs: int | None
    max_shots: int | None
    max_depth: int | None
    max_two_qubit_gates: int | None
    timeout: float | None
    allow_unknown_cost: bool
    stated: tuple[str, ...]
    resume: str | None = None


_RUN: list[Callable[[Any], Any]] = [
    click.option("--seed", type=int, help="Root of every seed of the run; drawn and recorded where it is not given."),
    click.option(
        "--backend",
        default="simulator",
        show_default=True,
        metavar="NAME",
        help="The device, see `qimg backends`; with limits of a chain: NAME[within=SECONDS,rows=N,wires=N].",
    ),
    click.option("--fallback", multiple=True, metavar="NAME", help="A device to try next; repeatable, in order."),
    click.option("--shots", type=int, help="Sample each circuit so many times; exact numbers where it is not given."),
    click.option("--noise", metavar="MODEL", help="E.g. depolarizing=0.01,readout=0.02, or calibration=FILE.json@4/5."),
    click.option("--mitigation", metavar="METHODS", help="Of expectation values: readout, zne=1/3/5[:richardson]."),
    click.option(
        "--proposals",
        type=click.Choice(["off", "keep", "reuse"]),
        default="off",
        show_default=True,
        help="Keep the numbers of every request; reuse them where the same request was executed before.",
    ),
    click.option(
        "--profile",
        type=click.Choice(["full", "light"]),
        default="full",
        show_default=True,
        help="How much is recorded; light keeps run-level entries only.",
    ),
    ledger_option,
    click.option("--max-cost", metavar="AMOUNT", help="Refuse to spend more, in the provider's unit."),
    click.option("--max-jobs", type=int, help="Refuse to send more jobs to devices that are not free."),
    click.option("--max-shots", type=int, help="Refuse to take more shots."),
    click.option("--max-depth", type=int, help="Refuse deeper circuits, as the device executes them."),
    click.option("--max-two-qubit-gates", type=int, help="Refuse circuits of more, as the device executes them."),
    click.option("--timeout", type=float, metavar="SECONDS", help="Wait no longer for the jobs of one request."),
    click.option("--allow-unknown-cost", is_flag=True, help="Go on where a device publishes no price."),
    click.option(
        "--stated", multiple=True, metavar="KEY=VALUE", help=f"What you state for the record: {', '.join(STATED)}."
    ),
]


def run_options(command: F) -> F:
    """Everything a `Session` can be told, handed over as ``run: RunOptions``."""
    names = [a.name for a in attrs_fields(RunOptions) if a.name != "resume"]  # the commands that can, have it

    @functools.wraps(command)
    def with_run(*args: Any, **kwargs: Any) -> Any:
        run = RunOptions(**{name: kwargs.pop(name) for name in names})
        return command(*args, run=run, **kwargs)

    decorated: Any = with_run
    for option in reversed(_RUN):
        decorated = option(decorated)
    found: F = decorated
    return found


def parse_settings(items: Iterable[str], what: str = "--set") -> dict[str, str]:
    """``key=value`` texts as a dict.

    Raises:
        ConfigurationError: no ``=``, no key, or a key twice.
    """
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        key = key.strip().replace("-", "_")
        if not key or not equals:
            raise ConfigurationError(f"{what} takes KEY=VALUE, got {item!r}", hint=f"e.g. {what} {key or 'key'}=VALUE")
        if key in found:
            raise ConfigurationError(f"{what} {key} is given twice")
        found[key] = value.strip()
    return found


def parse_stated(items: Iterable[str]) -> dict[str, str]:
    """What the caller states about a run.

    Raises:
        UnknownName: not one of `qimg_core.admission.STATED`.
        ConfigurationError: see `parse_settings`.
    """
    found = parse_settings(items, "--stated")
    for key in found:
        if key not in STATED:
            raise UnknownName("statement", key, STATED)
    return found


def parse_classes(text: str | None) -> tuple[int, ...] | None:
    """``"0-9"`` or ``"3,5"`` or ``"0-2,7"`` as class numbers in that order.

    Raises:
        ConfigurationError: anything else.
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        if match is None:
            raise ConfigurationError(f"--condition takes class numbers such as 0-9 or 3,5, got {text!r}")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise ConfigurationError(f"--condition {part.strip()}: the range runs backwards")
        found += range(low, high + 1)
    return tuple(found)


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """``"16"`` or ``"16x24"`` (height x width).

    Raises:
        ConfigurationError: anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if match is None:
        raise ConfigurationError(f"--size takes a number of pixels, or HEIGHTxWIDTH, got {text!r}")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


def parse_amount(text: str | None) -> Decimal | None:
    """An amount of money, exactly.

    Raises:
        ConfigurationError: not a number from 0 up.
    """
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"--max-cost takes an amount such as 12.50, got {text!r}")
    return amount
