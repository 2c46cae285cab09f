"""``qimg plugin test`` and ``qimg plugin new``."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import qimg_core
from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.cli.commands.plugin_new import named, template
from qimg_core.hooks import BackendSpec, EncoderSpec, ObservableSpec, hookimpl
from qimg_core.testing.conformance import Options
from qimg_core.testing.conformance.loopback_driver import provider
from qimg_core.testing.toy import ToyPlugin


class Supplier:
    @hookimpl
    def qimg_backends(self):
        orders = "qimg_core.testing.mutants.orders"
        return [
            BackendSpec(name="reversed", target=f"{orders}:BitReversal"),
            BackendSpec(name="both", target=f"{orders}:BitReversal"),
            BackendSpec(name="cloud", target="nowhere:Cloud", devices="a machine"),
        ]

    @hookimpl
    def qimg_encoders(self):
        target = "qimg_circuits.encoders.angle:AngleEncoder"
        return [EncoderSpec(name="angle", target=target), EncoderSpec(name="both", target=target)]

    @hookimpl
    def qimg_observables(self):
        return [ObservableSpec(name="words", target="qimg_circuits.observables.pauli_strings:PauliStrings")]


def fakes(device):
    assert device == "one"
    return Options(server=provider())


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(Supplier(), "supplier")

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=registry)
        return int(code), *capsys.readouterr()

    return call


def test_a_device_that_passes_and_its_reports(qimg):
    cases = ("--case", "C1", "--case", "C2.zoo3", "--case", "C9")
    code, out, err = qimg("plugin", "test", "reference", "--quick", *cases, "--html", "r.html", "--json", "r.json")
    assert code == 0, err
    assert "backend reference: pass (2 pass, 3 not_applicable)" in out
    document = json.loads(Path("r.json").read_text())
    assert document["verdict"] == "pass"
    assert document["settings"]["quick"] is True
    assert document["environment"]["python"].startswith("3.")
    page = Path("r.html").read_text()
    assert page.startswith("<!doctype html>")
    assert all(c["case"] in page for c in document["cases"])


def test_a_device_that_fails_is_exit_code_1(qimg):
    code, out, _ = qimg("plugin", "test", "reversed", "--quick", "--json", "--case", "C2", "--case", "C8.signs")
    document = json.loads(out)
    assert (code, document["verdict"]) == (1, "fail")
    verdicts = {c["case"]: c["verdict"] for c in document["cases"]}
    assert verdicts == {"C2.zoo3": "fail", "C2.zoo5": "fail", "C2.zoo4": "pass", "C8.signs": "pass"}


def test_a_remote_device_by_its_fake(qimg):
    fake = ("--fake", f"{__name__}:fakes", "--case", "C14", "--case", "C15")
    code, out, err = qimg("plugin", "test", "cloud:one", "--quick", "--json", *fake)
    assert code == 0, err
    document = json.loads(out)
    assert document["subject"] == "loopback"
    assert document["settings"]["fake_provider"] is True
    for wrong in ("nowhere:fakes", f"{__name__}:nothing", "json:dumps"):
        assert qimg("plugin", "test", "cloud:one", "--fake", wrong)[0] in (1, 2)


def test_an_encoder_an_observable_and_a_generator(qimg):
    pytest.importorskip("qimg_circuits")
    code, out, err = qimg("plugin", "test", "angle", "--set", "axis=x", "--set", "n_wires=2")
    assert code == 0, err
    assert "2 wires, 2 inputs" in out
    code, out, err = qimg("plugin", "test", "words", "--set", "terms=['Z0 X1', 'Y0']", "--json")
    assert code == 0, err
    assert json.loads(out)["cases"][0]["evidence"]["wires"] == [0, 1]
    code, out, err = qimg("plugin", "test", "toy", "--backend", "reference", "--set", "spread=0.2")
    assert code == 0, err
    assert "generator toy: pass (15 pass)" in out
    code, out, _ = qimg("plugin", "test", "toy", "--backend", "reference", "--quick")
    assert code == 3, "training was left out"
    assert "G10" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["referense"], "did you mean 'reference'"),
        (["both"], "--kind backend"),
        (["angle", "--set", "wires=3"], "'wires'"),
        (["angle", "--set", "axis=q"], "axis"),
        (["words"], "terms"),
        (["reference", "--set", "x=1"], "no settings"),
        (["reference", "--html", "no/such/folder/r.html"], "no folder"),
        (["reference", "--shots", "0"], "--shots"),
        (["reference", "--max-cost", "much"], "--max-cost"),
        (["reference", "--case", "C99"], "C99"),
    ],
)
def test_wrong_usage_is_said_before_anything_runs(qimg, argv, words):
    code, _, err = qimg("plugin", "test", *argv)
    assert code == 2
    assert words in err


def test_a_kind_chooses_between_equal_names(qimg):
    pytest.importorskip("qimg_circuits")
    code, out, _ = qimg("plugin", "test", "both", "--kind", "encoder")
    assert code == 0
    assert "encoder both: pass" in out


@pytest.mark.parametrize(
    "only",
    [("-k", "my_device_backend or c1 or c6 or c2_zoo3 or c13_unclaimed"), pytest.param((), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_new_plugin_passes_its_own_tests(qimg, tmp_path, only):
    code, out, err = qimg("plugin", "new", "my-device", "--kind", "backend", "--into", "plugins", "--json")
    assert code == 0, err
    folder = tmp_path / "plugins" / "qimg-my-device"
    document = json.loads(out)
    assert (folder / "src" / "qimg_my_device" / "backend.py").exists()
    for name in document["files"]:
        assert "toucan" not in name.lower() + (folder / name).read_text().lower(), name
    path = f"{folder / 'src'}:{Path(qimg_core.__file__).parents[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *only],
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_copy_is_clean_and_pinned_to_this_core(qimg, tmp_path):
    assert qimg("plugin", "new", "a1")[0] == 0
    project = tomllib.loads((tmp_path / "qimg-a1" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["qimg.plugins"] == {"a1": "qimg_a1.plugin"}
    core = next(Requirement(d) for d in project["dependencies"] if d.startswith("qimg-core"))
    assert core.specifier.contains(qimg_core.__version__)
    assert not core.specifier.contains("99")
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=tmp_path / "qimg-a1",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ruff.returncode == 0, ruff.stdout


def test_what_is_there_is_not_overwritten_and_names_are_checked(qimg, tmp_path):
    (tmp_path / "qimg-mine").mkdir()
    (tmp_path / "qimg-mine" / "notes.txt").write_text("of the user")
    code, _, err = qimg("plugin", "new", "mine")
    assert (code, list((tmp_path / "qimg-mine").iterdir())) == (2, [tmp_path / "qimg-mine" / "notes.txt"])
    assert "not empty" in err
    for name in ("My", "9x", "a_b", "a--b", "../x", "-x"):
        assert qimg("plugin", "new", "--", name)[0] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["qimg-mine"]


def test_names_in_their_three_spellings():
    assert named("qimg-toucan qimg_toucan ToucanBackend test_toucan_x toucan", "my-one") == (
        "qimg-my-one qimg_my_one MyOneBackend test_my_one_x my-one"
    )
    assert template("backend").is_dir()
