"""Sphinx configuration. `make docs` builds with -n -W: every unresolved reference is an error."""

from __future__ import annotations

import qimg_core

project = "qimg"
author = "the qimg authors"
copyright = "2026, the qimg authors"
release = version = qimg_core.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "qimg"
html_static_path: list[str] = []
exclude_patterns = ["_build", "recipes"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # the signatures carry them; numpy and torch types have no inventory here
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpick_ignore_regex = [
    (
        r"py:(class|obj|exc|data)",
        r"(abc|ABC|enum|attrs|click|np|npt|numpy|torch|nn|httpx|collections|typing|pathlib|decimal)(\..*)?",
    ),
    (r"py:.*", r"(bytes|str|int|float|bool|dict|list|tuple|frozenset|Any|Self|optional|callable)"),
]
default_role = "code"
