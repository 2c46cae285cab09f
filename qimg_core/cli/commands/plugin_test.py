"""``qimg plugin test``: the conformance kit on a component (imports plugins; the kit when it is run)."""

from __future__ import annotations

import inspect
import json
import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import parse_amount, parse_settings, set_option
from qimg_core.cli.output import coloured, emit, say, table
from qimg_core.errors import ConfigurationError, QimgError, UnknownName
from qimg_core.hooks import BackendSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.cli.app import App
    from qimg_core.testing.conformance import CaseResult, Options, Report

KINDS = ("backend", "encoder", "ansatz", "observable", "generator")
STDOUT = "-"


def _json(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from qimg_core.cli.app import App

    ctx.ensure_object(App).json = value == STDOUT
    return value


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="What the name is, where it is several things.")
@click.option("--case", "cases", multiple=True, metavar="ID", help="Only this case, or group such as C15; repeatable.")
@click.option("--quick", is_flag=True, help="Fewer rows, states and faults.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as one HTML file.")
@click.option(
    "--json",
    "json_to",
    is_flag=False,
    flag_value=STDOUT,
    callback=_json,
    metavar="[FILE]",
    help="Write the report as JSON into a file; without one print it.",
)
@click.option(
    "--fake", metavar="MODULE:NAME", help="A function of the plugin that returns Options with a fake provider."
)
@click.option("--backend", default="simulator", show_default=True, help="The device of a generator.")
@click.option("--shots", type=click.IntRange(min=1), help="Of each sampled request.")
@click.option("--noisy", is_flag=True, help="The device is noisy by itself: compare within a band.")
@click.option("--max-cost", metavar="AMOUNT", help="Jobs may cost so much in all; nothing by default.")
@click.option("--allow-unknown-cost", is_flag=True, help="Send jobs although the device publishes no price.")
@set_option
@click.pass_obj
def test(
    app: App,
    name: str,
    kind: str | None,
    cases: tuple[str, ...],
    quick: bool,
    html: Path | None,
    json_to: str | None,
    fake: str | None,
    backend: str,
    shots: int | None,
    noisy: bool,
    max_cost: str | None,
    allow_unknown_cost: bool,
    settings: tuple[str, ...],
) -> ExitCode:
    """Run the conformance kit on a component. Exit code 1 where a case fails, 3 where one cannot be decided.

    NAME is a component of an installed plugin, such as simulator, angle or hybrid-unet. Jobs that cost anything are
    only sent with --max-cost; with --fake nothing leaves this machine.
    """
    from attrs import evolve

    from qimg_core.testing.conformance import Options

    kind = kind or _kind_of(app, name)
    options = _faked(app, name, fake) if fake else Options()
    options = evolve(
        options,
        quick=quick or options.quick,
        noisy=noisy or options.noisy,
        shots=shots or options.shots,
        max_cost=options.max_cost if max_cost is None else parse_amount(max_cost) or Decimal(0),
        allow_unknown_cost=allow_unknown_cost or options.allow_unknown_cost,
    )
    changes = parse_settings(settings)
    for target in (html, None if json_to in (None, STDOUT) else Path(str(json_to))):
        if target is not None and not target.parent.is_dir():
            raise ConfigurationError(f"{target}: there is no folder {target.parent}")
    report = _examined(app, kind, name, options, changes, backend, cases=chosen(kind, cases), faked=bool(fake))
    _write(report, html, json_to)
    rows = [[r.case, coloured(r.verdict), f"{r.seconds:.1f}", f"{r.title}: {r.outcome.reason}"] for r in report.results]
    counted = ", ".join(f"{n} {v}" for v, n in report.counted().items() if n)
    last = f"{kind} {report.subject}: {coloured(report.verdict)} ({counted})"
    emit(report.to_json(), [*table(["CASE", "VERDICT", "SECONDS", "WHAT WAS FOUND"], rows), "", last])
    return verdict_code(report.verdict)


def chosen(kind: str, wanted: tuple[str, ...]) -> list[str] | None:
    """Ids of the cases that were asked for, groups written out; None for all.

    Raises:
        UnknownName: no such case or group.
    """
    from qimg_core.testing.conformance.kit import cases_of

    known = cases_of(kind)
    found: list[str] = []
    for name in wanted:
        members = [c for c in known if name in (c, c.partition(".")[0])]
        if not members:
            raise UnknownName(f"case for a {kind}", name, known)
        found += members
    return found or None


def _kind_of(app: App, name: str) -> str:
    found = []
    for kind in KINDS:
        try:
            app.registry.spec(kind, name)
        except UnknownName:
            continue
        found.append(kind)
    if not found:
        known = [n for kind in KINDS for n in app.registry.specs(kind)]
        raise UnknownName("component", name, known, hint="qimg plugin list")
    if len(found) > 1:
        raise ConfigurationError(f"{name!r} is {' and '.join(found)}", hint=f"--kind {found[0]}")
    return found[0]


def _faked(app: App, name: str, fake: str) -> Options:
    """What a plugin's own function says of its fake provider."""
    from qimg_core.testing.conformance import Options

    module, _, attribute = fake.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--fake {fake}: {error}", hint="MODULE:NAME of a function") from error
    spec = app.registry.spec("backend", name)
    several = isinstance(spec, BackendSpec) and spec.devices
    options = function(name.partition(":")[2]) if several else function()
    if not isinstance(options, Options):
        raise ConfigurationError(f"--fake {fake}: wanted Options, got {type(options).__name__}")
    return options


def _examined(
    app: App,
    kind: str,
    name: str,
    options: Options,
    changes: dict[str, str],
    backend: str,
    *,
    cases: list[str] | None,
    faked: bool,
) -> Report:
    from qimg_core.testing import conformance

    if kind == "backend":
        if changes:
            raise ConfigurationError("a device has no settings here", hint="name its device after a colon")
        make = None if faked and options.server is not None else lambda: app.registry.open_backend(name)
        if make is not None:
            make().close()  # a driver that cannot be made is wrong usage, not forty failures
        return conformance.backend(make, options, cases=cases, progress=_progress)
    if kind == "generator":
        from qimg_core.cli.runs import model_changes

        given = model_changes(None, changes)
        return conformance.generator(
            name,
            options,
            registry=app.registry,
            backend=backend,
            changes=given,
            cases=cases,
            progress=_progress,
        )
    made = _maker(app, kind, name, changes)
    runs: dict[str, Callable[..., Report]] = {
        "encoder": conformance.encoder,
        "ansatz": conformance.ansatz,
        "observable": conformance.observable,
    }
    return runs[kind](made, options, name=name, cases=cases, progress=_progress)


def _maker(app: App, kind: str, name: str, changes: dict[str, str]) -> Callable[[], Any]:
    """A component with its settings: those given, three wires where it has wires, its defaults."""
    cls = app.registry.load(kind, name)
    known = inspect.signature(cls).parameters
    given: dict[str, Any] = {key: _value(text) for key, text in changes.items()}
    for key in given:
        if key not in known:
            raise UnknownName(f"setting of {name}", key, known)
    for key in ("n_wires", "n_bits", "size"):
        if key in known:
            given.setdefault(key, 3)
    lacking = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in given]
    if lacking:
        raise ConfigurationError(
            f"{name} needs {', '.join(lacking)}",
            hint="give them with --set, as Python writes them; or use qimg_core.testing.conformance in Python",
        )

    def make() -> Any:
        return cls(**given)

    try:
        make()
    except QimgError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{name}: {error}", hint="settings are numbers, words, lists or tuples") from error
    return make


def _value(text: str) -> Any:
    """A number, list or tuple as Python writes it, else the text itself."""
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text, text)


def _progress(result: CaseResult) -> None:
    if sys.stderr.isatty():
        say(f"{result.case}: {result.verdict.value} ({result.seconds:.1f} s)")


def _write(report: Report, html: Path | None, json_to: str | None) -> None:
    from qimg_core.storage import write_atomic

    if html is not None:
        from qimg_core.testing.conformance.html import to_html

        write_atomic(html, to_html(report).encode())
    if json_to not in (None, STDOUT):
        text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
        write_atomic(Path(str(json_to)), text.encode())
