"""The plan file: strict, canonical, its digest over what it means and not how it is written."""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from qimg_compare.plan import Role, plan_from_json
from qimg_compare.plan_file import parse_plan, read_plan
from qimg_core.errors import ConfigurationError, DataError, UnknownName
from qimg_core.generator import Arm
from qimg_core.ledger import canonical

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits.toml"


@pytest.fixture
def document() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text())


def test_the_example_reads_with_its_defaults(document: dict[str, Any]) -> None:
    plan = read_plan(EXAMPLE)
    assert plan == parse_plan(document)
    assert plan.seeds == tuple(range(1, 11)) and plan.controls == ("real", "copy") and plan.margin is None
    assert [a.role for a in plan.arms] == [Role.QUANTUM, Role.SEPARABLE, Role.PARAMETER_MATCHED, Role.BYPASS]
    assert plan.arm("twin").arm is Arm.TWIN and plan.arm("twin").steps == 400
    assert plan.arm("bypass").settings["latent"] == 6
    assert plan.names == ("quantum", "separable", "twin", "bypass", "real", "copy")
    assert plan.every_metric == ("kid", "coverage", "recall", "class_accuracy", "seconds_per_accepted_image")


def test_the_digest_is_over_the_meaning(document: dict[str, Any]) -> None:
    plan = parse_plan(document)
    again = dict(reversed(list(document.items())))
    again["seeds"] = list(range(1, 11))  # the same, written out
    again["arms"]["quantum"]["arm"] = "quantum"
    assert parse_plan(again).digest == plan.digest
    body = canonical.dumps(plan.to_json())
    assert plan.digest == "sha256:" + hashlib.sha256(body).hexdigest()
    assert plan_from_json(json.loads(body)) == plan
    assert plan.folder == f"digits-latent-flow-{plan.digest[7:19]}"


@pytest.mark.parametrize(
    "change",
    [
        {"n": 151},
        {"margin": 0.01},
        {"seeds": 9},
        {"steps": 401},
        {"primary": "coverage", "metrics": ["kid"]},
        {"settings": {"size": 8, "guidance": 1.25}},
        {"shots": 100},
        {"controls": ["copy"]},
    ],
)
def test_whatever_would_change_a_result_changes_the_digest(document: dict[str, Any], change: dict[str, Any]) -> None:
    assert parse_plan({**document, **change}).digest != parse_plan(document).digest


def changed(document: dict[str, Any], where: str | None = None, /, **values: Any) -> dict[str, Any]:
    out = copy.deepcopy(document)
    (out if where is None else out["arms"].setdefault(where, {})).update(values)
    return out


@pytest.mark.parametrize(
    ("arm", "values", "words"),
    [
        (None, {"sedes": 3}, "did you mean 'seeds'"),
        ("twin", {"wieghts": "a"}, "did you mean 'weights'"),
        (None, {"primary": "kidd"}, "did you mean 'kid'"),
        (None, {"matched": ["parameter"]}, "did you mean 'parameters'"),
        (None, {"controls": ["reals"]}, "did you mean 'real'"),
        (None, {"kpi": "tine"}, "did you mean 'time'"),
        (None, {"reference": "twins"}, "did you mean 'twin'"),
        ("twin", {"arm": "twinn"}, "did you mean 'twin'"),
        ("twin", {"role": "best-clasical"}, "did you mean 'best-classical'"),
    ],
)
def test_a_wrong_word_is_refused_with_the_nearest(
    document: dict[str, Any], arm: str | None, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnknownName, match=words):
        parse_plan(changed(document, arm, **values))


@pytest.mark.parametrize(
    ("arm", "values", "words"),
    [
        (None, {"n": "150"}, "n is int"),
        (None, {"n": True}, "n is int"),
        (None, {"metrics": ["kid", 3]}, "metrics holds other things"),
        (None, {"allow_small": False}, "too few"),
        (None, {"seeds": 1}, "two seeds"),
        (None, {"seeds": [1, 1]}, "different"),
        (None, {"margin": 0}, "above 0"),
        (None, {"margin": float("nan")}, "above 0"),
        (None, {"candidate": "separable"}, "is a quantum arm, this one is separable"),
        (None, {"reference": "quantum"}, "is a classical arm, this one is quantum"),
        (None, {"name": "Two words"}, "no name"),
        ("real", {"arm": "twin"}, "name of a control"),
        ("twin", {"role": "fixed-observable"}, "cannot have the role"),
        ("twin", {"role": "quantum"}, "cannot have the role"),
        ("quantum", {"role": "best-classical"}, "cannot have the role"),
        ("twin", {"steps": 0}, "neither weights nor steps"),
        ("twin", {"shots": 0}, "1 or more"),
    ],
)
def test_what_contradicts_itself_is_refused(
    document: dict[str, Any], arm: str | None, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_plan(changed(document, arm, **values))


def test_what_is_missing_or_unreadable_is_said(document: dict[str, Any], tmp_path: Path) -> None:
    del document["primary"]
    with pytest.raises(ConfigurationError, match="lacks 'primary'"):
        parse_plan(document)
    with pytest.raises(DataError, match="cannot read"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(DataError, match="not TOML"):
        read_plan(tmp_path / "bad.toml")


def test_weights_need_no_steps(document: dict[str, Any]) -> None:
    found = parse_plan(changed(document, "twin", weights="twin-{seed}.safetensors")).arm("twin")
    assert found.weights == "twin-{seed}.safetensors" and found.steps == 0


def test_the_plan_of_the_documentation_is_a_plan() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "compare.md").read_text()
    plan = parse_plan(tomllib.loads(page.split("```toml")[1].split("```")[0]))
    assert plan.arm("longer").role is Role.LATENCY_MATCHED and plan.arm("noisy").noise == "depolarizing=0.01"
