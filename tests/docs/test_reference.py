"""The reference pages say what the code has: hooks, errors, public names, environment variables."""

import inspect
import re
from pathlib import Path

import pytest

import qimg_core
from qimg_core import errors
from qimg_core.hooks import HookSpecs

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

HEAD = "| error | sent | billed | retryable |\n|---|---|---|---|\n"


def all_errors():
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and c.__module__ == errors.__name__]
    return [c for c in classes if issubclass(c, (errors.QimgError, errors.FallbackExhausted))]


def error_table():
    rows = []
    for cls in all_errors():
        if issubclass(cls, errors.FallbackExhausted):
            rows.append(f"| `{cls.__name__}` | as its errors | as its errors | no |")
        else:
            rows.append(f"| `{cls.__name__}` | {cls.sent} | {cls.billed} | {'yes' if cls.retryable else 'no'} |")
    return HEAD + "\n".join(rows) + "\n"


def hooks():
    found = {}
    for name, function in vars(HookSpecs).items():
        if name.startswith("qimg_"):
            arguments = [a for a in inspect.signature(function).parameters if a != "self"]
            found[name] = f"{name}({', '.join(arguments)})"
    return found


def hooks_of(text):
    return set(re.findall(r"^\| `(qimg_\w+\([^)]*\))` \|", text, re.MULTILINE))


def test_every_hook_stands_in_the_reference_with_its_arguments():
    assert hooks_of((REFERENCE / "plugins.md").read_text()) == set(hooks().values())


def test_a_page_with_another_argument_list_would_be_noticed():
    text = (REFERENCE / "plugins.md").read_text().replace("qimg_admit(plan, context)", "qimg_admit(plan)")
    assert set(hooks().values()) - hooks_of(text) == {"qimg_admit(plan, context)"}


def test_the_table_of_errors_is_the_code():
    text = (REFERENCE / "errors.md").read_text()
    assert error_table() in text, "docs/reference/errors.md wants this table:\n" + error_table()


def test_the_tree_of_errors_in_the_docstring_is_complete():
    assert [c.__name__ for c in all_errors() if not re.search(rf"\b{c.__name__}\b", errors.__doc__)] == []


@pytest.mark.parametrize("name", sorted(qimg_core.__all__))
def test_every_public_name_stands_in_the_reference(name):
    assert f"`{name}`" in (REFERENCE / "api.md").read_text()


def documented_modules():
    pages = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    return set(re.findall(r"^\.\. automodule:: (\S+)", pages, re.MULTILINE))


def test_the_module_of_every_public_name_is_documented():
    homes = {getattr(qimg_core, name).__module__ for name in qimg_core.__all__ if name != "__version__"}
    homes = {h for h in homes if h.startswith("qimg_core")}
    assert {h for h in homes if h not in documented_modules() and not h.startswith("qimg_core.datasets.")} == set()


def test_every_environment_variable_is_documented():
    read = re.compile(r"\b(?:environ\S*|envvar=)[(\[\"]*\"?(QIMG_[A-Z_]+)")
    used = {name for f in Path(qimg_core.__file__).parent.rglob("*.py") for name in read.findall(f.read_text())}
    pages = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    assert used >= {"QIMG_LEDGER", "QIMG_PLUGINS", "QIMG_CACHE"}
    assert {name for name in used if f"`{name}`" not in pages} == set()
