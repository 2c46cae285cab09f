"""The registry: lazy, isolated, and plain about what is wrong."""

import subprocess
import sys

import pytest

from qimg_core import Registry, hookimpl
from qimg_core.errors import PluginConflict, PluginIncompatible, PluginLoadError, UnknownName
from qimg_core.hooks import INTERFACE_VERSION, BackendSpec


def plugin(*specs):
    class Plugin:
        @hookimpl
        def qimg_backends(self):
            return specs

    return Plugin()


@pytest.fixture
def registry():
    return Registry(discover=False)


def test_a_component_is_imported_only_when_asked_for(registry):
    registry.register(plugin(BackendSpec(name="far", target="no_such_module_xyz:Thing")), "far")
    assert list(registry.specs("backend")) == ["far"]
    with pytest.raises(PluginLoadError, match="no_such_module_xyz"):
        registry.load("backend", "far")


def test_load_gives_the_object(registry):
    registry.register(plugin(BackendSpec(name="ref", target="qimg_core.testing:ReferenceBackend")), "ref")
    assert registry.load("backend", "ref").name == "reference"


def test_the_nearest_name_is_offered(registry):
    registry.register(plugin(BackendSpec(name="simulator", target="x:y")), "sim")
    with pytest.raises(UnknownName, match="did you mean 'simulator'"):
        registry.load("backend", "simulater")


def test_two_plugins_with_one_name_are_an_error(registry):
    for i in range(2):
        registry.register(plugin(BackendSpec(name="same", target=f"m{i}:B")), f"p{i}")
    with pytest.raises(PluginConflict, match="m0:B and m1:B"):
        registry.specs("backend")


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (BackendSpec(name="b", target="m:B", interface=INTERFACE_VERSION + 1), "pip install -U qimg-core"),
        (BackendSpec(name="b", target="m:B", requires=["no-such-sdk>=1"]), "pip install 'no-such-sdk>=1'"),
        (BackendSpec(name="b", target="m:B", requires=["attrs>=9999"]), "found attrs"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_fix(registry, spec, word):
    registry.register(plugin(spec), "p")
    with pytest.raises(PluginIncompatible, match=word):
        registry.load("backend", "b")


def test_a_failing_hook_leaves_the_others(registry):
    class Broken:
        @hookimpl
        def qimg_backends(self):
            raise RuntimeError("boom")

    registry.register(Broken(), "broken")
    registry.register(plugin(BackendSpec(name="good", target="m:B")), "good")
    assert list(registry.specs("backend")) == ["good"]
    assert "boom" in str(registry.status[0].error)


def test_an_unknown_hook_name_is_an_error(registry):
    class Typo:
        @hookimpl
        def qimg_backend(self):
            return ()

    with pytest.raises(Exception, match="unknown hook"):
        registry.register(Typo(), "typo")


def test_a_broken_distribution_is_isolated(tmp_path):
    """A real entry point whose import fails: the program goes on and shows it."""
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qimg.plugins]\nbroken = broken_module_xyz\n")
    old = tmp_path / "old_plugin-1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: old-plugin\nVersion: 1.0\nRequires-Dist: qimg-core<0.0.1\n"
    )
    (old / "entry_points.txt").write_text("[qimg.plugins]\nold = qimg_core.errors\n")
    code = (
        "from qimg_core import Registry\n"
        "r = Registry()\n"
        "print({s.name: type(s.error).__name__ for s in r.status if s.error})\n"
        "r.specs('backend')\n"
    )
    import os

    env = {**os.environ, "PYTHONPATH": str(tmp_path), "QIMG_PLUGINS": "broken,old"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'broken': 'PluginLoadError', 'old': 'PluginIncompatible'}"


HEAVY = "{'numpy','torch','httpx','cryptography','qiskit','braket','pennylane','rich','safetensors'}"


@pytest.mark.parametrize(
    "code",
    [
        "import qimg_core",
        "import qimg_core; r = qimg_core.Registry(); [r.specs(k) for k in ('backend','generator','command')]",
    ],
)
def test_importing_the_core_loads_nothing_heavy(code):
    check = f"{code}\nimport sys\nassert not ({HEAVY} & set(sys.modules)), {HEAVY} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_public_names_exist_and_are_typed():
    import ast
    import inspect

    import qimg_core

    tree = ast.parse(inspect.getsource(qimg_core))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    typed = {a.name for n in block.body for a in n.names}
    assert typed == set(qimg_core.__all__) - {"__version__"}
    for name in qimg_core.__all__:
        assert getattr(qimg_core, name) is not None
    with pytest.raises(AttributeError):
        qimg_core.nothing_of_that_name  # noqa: B018
