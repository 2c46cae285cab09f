"""Circuits by what a user calls them (imports circuit, session; plugins by name when asked).

A file, a generator (the circuits it really runs: one image is made in memory), an ansatz or encoder, a circuit of
the library (sim1 to sim19), or a recorded run.
"""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.circuit.ir import Circuit
from qimg_core.cli.runs import existing_ledger, model_changes
from qimg_core.cli.subject import find_run
from qimg_core.cli.summary import circuits_of
from qimg_core.errors import ConfigurationError, DataError, PluginIncompatible, UnknownName

if TYPE_CHECKING:
    from qimg_core.cli.app import App

_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{1,8}")
_SIM = re.compile(r"sim-?(\d{1,2})")


@frozen(kw_only=True)
class Wanted:
    """Which circuit.

    Args:
        what: file, name or run id.
        wires, layers: of an ansatz, encoder or library circuit; None for its default.
        arm, settings: of a generator; settings also of an ansatz or encoder.
        backend: device for a generator.
        ledger: where runs are looked up.
    """

    what: str
    wires: int | None
    layers: int | None
    arm: str | None
    settings: dict[str, str]
    backend: str
    ledger: str


def find_circuits(app: App, wanted: Wanted) -> list[Circuit]:
    """The circuits that a word names, at least one.

    Raises:
        UnknownName: nothing of that name.
        ConfigurationError, DataError: a file that cannot be read, settings that do not fit, no circuit.
    """
    what = wanted.what
    if Path(what).suffix in (".qasm", ".json"):
        return [read_circuit(Path(what))]
    if what in app.registry.specs("generator"):
        return _of_generator(app, wanted)
    for kind in ("ansatz", "encoder"):
        if what in app.registry.specs(kind):
            return [_of_component(app.registry.load(kind, what), wanted)]
    if match := _SIM.fullmatch(what):
        library = first_party("qimg_circuits.library", "qimg-circuits")
        found: Circuit = library.sim_circuit(int(match[1]), wanted.wires or 4, wanted.layers or 1)
        return [found]
    if _RUN.fullmatch(what):
        with existing_ledger(app, wanted.ledger) as ledger:
            run = find_run(ledger, what, wanted.ledger)
            recorded = list(circuits_of(ledger, run).values())
        if not recorded:
            raise ConfigurationError(f"run {run} executed no circuit")
        return recorded
    names = [n for kind in ("generator", "ansatz", "encoder") for n in app.registry.specs(kind)]
    hint = "or sim1 to sim19, a run id, or a .qasm or .json file"
    raise UnknownName("generator, ansatz or encoder", what, names, hint=hint)


def read_circuit(path: Path) -> Circuit:
    """A circuit from OpenQASM 3 or from our JSON.

    Raises:
        DataError: it cannot be read.
        ConfigurationError: its content is no circuit.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text") from error
    if path.suffix == ".qasm":
        from qimg_core.circuit.qasm import from_qasm3

        return from_qasm3(text)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not a circuit document")
    return Circuit.from_json(document)


def first_party(module: str, distribution: str) -> Any:
    """A module of a plugin that a command needs by name.

    Raises:
        PluginIncompatible: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise PluginIncompatible(
            f"this command needs {module}, which is not installed ({error})", hint=f"pip install {distribution}"
        ) from error


def _of_generator(app: App, wanted: Wanted) -> list[Circuit]:
    from qimg_core.session import Session

    with Session(None, seed=0, backend=wanted.backend, registry=app.registry) as session:
        model = session.generator(wanted.what, **model_changes(wanted.arm, wanted.settings))
        model.sample(1)
        found = list(circuits_of(session.ledger, session.run).values())
    if not found:
        raise ConfigurationError(f"{wanted.what} runs no circuit as its arm {model.arm.value}")
    return found


def _of_component(cls: Any, wanted: Wanted) -> Circuit:
    known = inspect.signature(cls).parameters
    given: dict[str, Any] = {key: _number(value) for key, value in wanted.settings.items()}
    if "n_wires" in known:
        given.setdefault("n_wires", wanted.wires or 4)
    elif wanted.wires is not None:
        raise ConfigurationError(f"{wanted.what} has no n_wires", hint=f"--set {', '.join(known)}")
    if wanted.layers is not None:
        given["layers"] = wanted.layers
    for key in given:
        if key not in known:
            raise UnknownName(f"setting of {wanted.what}", key, known)
    lacking = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in given]
    if lacking:
        raise ConfigurationError(
            f"{wanted.what} needs {', '.join(lacking)}", hint="give numbers with --set, or use Python"
        )
    try:
        circuit: Circuit = cls(**given).circuit
    except (TypeError, ValueError, AttributeError) as error:
        hint = "settings that are no numbers or words are given in Python"
        raise ConfigurationError(f"{wanted.what}: {error}", hint=hint) from error
    return circuit


def _number(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
