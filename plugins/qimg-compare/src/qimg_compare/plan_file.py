"""Reading ``plan.toml``: strict, every word checked, the nearest known one offered (imports plan, plan_trials, scales).

Nothing is looked up outside the file: whether generators, data and devices exist is seen when the runs are prepared.
"""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_compare.plan import (
    CLASSICAL,
    CONTROLS,
    KPIS,
    MATCHED,
    ROLES,
    SEEDS,
    SMALLEST,
    ArmPlan,
    ComparePlan,
    Role,
)
from qimg_compare.plan_trials import check_trials, grid_of, plain, steps_of_trials, surrogates_counted
from qimg_compare.scales import scale_of
from qimg_core.cli.options import parse_amount
from qimg_core.errors import ConfigurationError, DataError, UnknownName
from qimg_core.generator import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


def read_plan(path: str | Path) -> ComparePlan:
    """Read a plan file.

    Raises:
        DataError: no such file, or not TOML.
        UnknownName: a key, metric, arm or word that does not exist; the nearest is offered.
        ConfigurationError: something is missing, of the wrong type, or contradicts itself.
    """
    file = Path(path)
    try:
        text = file.read_text("utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise DataError(f"cannot read the plan {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not TOML: {error}") from error
    return parse_plan(document)


_TOP: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "data": str,
    "size": int,
    "seeds": (int, list),
    "n": int,
    "primary": str,
    "metrics": list,
    "margin": (int, float),
    "network": str,
    "allow_small": bool,
    "candidate": str,
    "reference": str,
    "matched": list,
    "kpi": str,
    "target": (int, float),
    "controls": list,
    "seed": int,
    "settings": dict,
    "grid": dict,
    "trial_metric": str,
    "arms": dict,
}
_ARM: dict[str, type | tuple[type, ...]] = {
    "generator": str,
    "arm": str,
    "role": str,
    "settings": dict,
    "grid": dict,
    "trial_steps": int,
    "weights": str,
    "steps": int,
    "trials": int,
    "backend": str,
    "noise": str,
    "shots": int,
    "max_cost": str,
    "time_of": str,
    "surrogate_of": str,
}
_SHARED = ("generator", "steps", "trials", "trial_steps", "backend", "noise", "shots", "max_cost")


def parse_plan(document: Mapping[str, Any]) -> ComparePlan:
    """A plan from TOML; see `read_plan` for what is raised."""
    shared = {k: _ARM[k] for k in _SHARED}
    _typed(document, {**_TOP, **shared}, "the plan")
    for key in ("name", "data", "primary", "candidate", "reference", "arms", "n"):
        if key not in document:
            raise ConfigurationError(f"the plan lacks {key!r}", hint="see docs/how-to/compare.md")
    defaults = {k: document[k] for k in _SHARED if k in document}
    tables = document["arms"]
    arms = tuple(
        _arm(name, _copied(name, table, tables), defaults, document.get("settings", {}), document.get("grid", {}))
        for name, table in tables.items()
    )
    tuned = any(a.grid for a in arms)
    if not tuned and "trial_steps" in document:
        raise ConfigurationError("trial_steps is said, but no arm has a grid", hint="[grid] or [arms.NAME.grid]")
    seeds = document.get("seeds", SEEDS)
    made = ComparePlan(
        name=document["name"],
        data=document["data"],
        size=document.get("size"),
        seeds=tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(seeds),
        n=document["n"],
        primary=document["primary"],
        metrics=tuple(document.get("metrics", ())),
        margin=None if "margin" not in document else float(document["margin"]),
        network=document.get("network", "mnist-28"),
        allow_small=document.get("allow_small", False),
        candidate=document["candidate"],
        reference=document["reference"],
        matched=tuple(document.get("matched", ())),
        kpi=document.get("kpi", "time"),
        target=None if "target" not in document else float(document["target"]),
        controls=tuple(document.get("controls", CONTROLS)),
        seed=document.get("seed", 0),
        arms=surrogates_counted(arms),
        trial_metric=document.get("trial_metric", document["primary"] if tuned else None),
    )
    _check(made)
    check_trials(made)
    return made


def _arm(
    name: str, table: Any, defaults: Mapping[str, Any], settings: Mapping[str, Any], grid: Mapping[str, Any]
) -> ArmPlan:
    if not isinstance(table, dict):
        raise ConfigurationError(f"arms.{name} is a table, got {table!r}", hint=f"[arms.{name}]")
    where = f"the arm {name!r}"
    _typed(table, _ARM, where)
    given = {**defaults, **table}
    if "generator" not in given:
        raise ConfigurationError(f"{where} names no generator", hint="see `qimg plugin list`")
    arm = _word(Arm, given.get("arm", "quantum"), "arm")
    weights = given.get("weights")
    derived = not _DERIVED.keys().isdisjoint(table)
    steps = 0 if weights is not None or derived else given.get("steps", 0)
    if "time_of" in table and ("steps" in table or weights is not None):
        raise ConfigurationError(f"{where} is trained for the time of another arm: it has neither steps nor weights")
    if weights is None and steps < 1 and not derived:
        raise ConfigurationError(f"{where} has neither weights nor steps to train", hint="steps = 2000")
    if given.get("trials", 1) < 1 or given.get("shots", 1) < 1:
        raise ConfigurationError(f"{where}: trials and shots are 1 or more")
    parse_amount(given.get("max_cost"))
    untrained = weights is not None or "surrogate_of" in table
    if untrained and not {"grid", "trial_steps"}.isdisjoint(table):
        raise ConfigurationError(f"{where} is not trained here, so it has neither a grid nor trial_steps")
    merged = {k: plain(k, v) for k, v in {**settings, **given.get("settings", {})}.items()}
    varied = {} if untrained else grid_of(where, {**grid, **given.get("grid", {})}, merged)
    if "trial_steps" in table and not varied:
        raise ConfigurationError(f"{where} has trial_steps and no grid", hint=f"[arms.{name}.grid]")
    return ArmPlan(
        name=name,
        generator=given["generator"],
        arm=arm,
        role=_role(where, arm, given.get("role", next((r for k, r in _DERIVED.items() if k in table), None))),
        settings=merged,
        weights=weights,
        steps=steps,
        trials=given.get("trials", 1),
        backend=given.get("backend", "simulator"),
        noise=given.get("noise"),
        shots=given.get("shots"),
        max_cost=given.get("max_cost"),
        time_of=table.get("time_of"),
        surrogate_of=table.get("surrogate_of"),
        grid=varied,
        trial_steps=steps_of_trials(where, given.get("trial_steps"), steps) if varied else 0,
    )


_DERIVED = {"time_of": Role.LATENCY_MATCHED.value, "surrogate_of": Role.SURROGATE.value}


def _copied(name: str, table: Any, tables: Mapping[str, Any]) -> Any:
    """The table of a surrogate: model and device are those of the arm that it stands in for."""
    if not isinstance(table, dict) or "surrogate_of" not in table:
        return table
    if more := sorted(set(table) - {"surrogate_of", "trials"}):
        raise ConfigurationError(
            f"the arm {name!r} has everything from the arm it stands in for, but says {', '.join(more)}",
            hint=f"[arms.{name}] has only surrogate_of = ...",
        )
    source = tables.get(table["surrogate_of"])
    if source is None:
        raise UnknownName("arm", str(table["surrogate_of"]), tables)
    taken = ("generator", "arm", "settings", "backend", "noise", "shots", "max_cost")
    return {**{k: source[k] for k in taken if isinstance(source, dict) and k in source}, **table}


def _role(where: str, arm: Arm, given: str | None) -> Role:
    natural = ROLES[arm]
    role: Role = natural if given is None else _word(Role, given, "role")
    if role in (natural, Role.SURROGATE, Role.SKIP_CUT):
        return role
    if role in (Role.FIXED_OBSERVABLE, Role.CLASSICAL_LOSS) and arm in (Arm.QUANTUM, Arm.SEPARABLE):
        return role
    if role in CLASSICAL - {Role.BYPASS} and arm in (Arm.TWIN, Arm.BYPASS):
        return role
    raise ConfigurationError(f"{where}: the form {arm.value!r} of a model cannot have the role {role.value!r}")


def _check(plan: ComparePlan) -> None:
    names = [a.name for a in plan.arms]
    for name in (plan.name, *names):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name", hint="lower case letters, digits, '.', '_' and '-'")
    if clash := [name for name in names if name in CONTROLS]:
        raise ConfigurationError(f"{clash[0]!r} is the name of a control", hint="call the arm otherwise")
    for word, known, what in (
        *((c, CONTROLS, "control") for c in plan.controls),
        *((m, MATCHED, "budget") for m in plan.matched),
        (plan.kpi, tuple(KPIS), "KPI"),
    ):
        if word not in known:
            raise UnknownName(what, word, known)
    for metric in plan.every_metric:
        scale_of(metric)
    if not all(isinstance(s, int) and 0 <= s < 2**53 for s in plan.seeds) or len(set(plan.seeds)) != len(plan.seeds):
        raise ConfigurationError(f"seeds are different whole numbers from 0 up, got {list(plan.seeds)}")
    if len(plan.seeds) < 2:
        raise ConfigurationError(f"wanted two seeds or more, got {len(plan.seeds)}", hint="10 is usual")
    if plan.n < SMALLEST and not plan.allow_small:
        raise ConfigurationError(
            f"n = {plan.n} images are too few: wanted {SMALLEST} or more", hint="allow_small = true for a try"
        )
    for key in ("margin", "target"):
        value = getattr(plan, key)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"{key}: wanted a number above 0, got {value}")
    if plan.n < 2 or (plan.size is not None and plan.size < 1):
        raise ConfigurationError(f"wanted n >= 2 and size >= 1, got {plan.n} and {plan.size}")
    for one in plan.arms:
        _check_needs(plan, one)
    if (role := plan.arm(plan.candidate).role) is not Role.QUANTUM:
        raise ConfigurationError(f"the candidate {plan.candidate!r} is a quantum arm, this one is {role.value}")
    if (role := plan.arm(plan.reference).role) not in CLASSICAL:
        allowed = ", ".join(sorted(r.value for r in CLASSICAL))
        raise ConfigurationError(
            f"the reference {plan.reference!r} is a classical arm, this one is {role.value}", hint=f"one of {allowed}"
        )


def _check_needs(plan: ComparePlan, one: ArmPlan) -> None:
    if one.needs is None:
        return
    source = plan.arm(one.needs)
    if one.time_of is not None and one.surrogate_of is not None:
        raise ConfigurationError(f"the arm {one.name!r} has time_of and surrogate_of, wanted one")
    if source.needs is not None:
        raise ConfigurationError(f"the arm {one.name!r} builds on {source.name!r}, which builds on another")
    if one.time_of is not None and source.weights is not None:
        raise ConfigurationError(f"{one.name!r} wants the training time of {source.name!r}, which brings weights")
    if one.time_of is not None and one.role is not Role.LATENCY_MATCHED:
        raise ConfigurationError(f"the arm {one.name!r} has time_of, so its role is latency-matched")
    if one.surrogate_of is not None and source.arm in (Arm.TWIN, Arm.BYPASS):
        raise ConfigurationError(f"the arm {source.name!r} runs no circuit that a surrogate could replace")


def _typed(table: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            raise UnknownName(f"setting of {where}", key, known)
        types = known[key] if isinstance(known[key], tuple) else (known[key],)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(t.__name__ for t in types)
            raise ConfigurationError(f"{where}: {key} is {wanted}, got {value!r}")
        if isinstance(value, list) and not (
            all(isinstance(v, int if key == "seeds" else str) and not isinstance(v, bool) for v in value)
        ):
            raise ConfigurationError(f"{where}: {key} holds other things than it should: {value!r}")


def _word(kind: Any, value: str, what: str) -> Any:
    known: Iterable[str] = [k.value for k in kind]
    if value not in known:
        raise UnknownName(what, value, known)
    return kind(value)
