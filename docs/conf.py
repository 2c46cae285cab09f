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
html_static_path = ["_static"]
html_css_files = ["qimg.css"]
exclude_patterns = ["_build", "recipes"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# types from elsewhere, whose inventories would need the network, and our own names for array types and the like
nitpick_ignore_regex = [
    ("py:class", r"(datetime|ssl)\..+|Failure|Bits|Extrapolation|Outbox|Finished|Callable\[\[\]|Mapping\[str"),
    (
        "py:class",
        r"(qimg_core\.ledger\.gathering|abc|collections\.abc|decimal|dt|enum|httpx|np|npt|os|pathlib|sqlite3|torch)\..+",
    ),
    ("py:class", r"Decimal|Path|Ed25519PrivateKey|MLDSA44PrivateKey"),
    (
        "py:class",
        r"Activity|JSON|MemoryKind|KeyHistory|SigningKey|Signatures|NamedArtefacts|Item|Result|Pair|Vault|Measurement|Open|Pauli|Progress|Role|Row|Split|Step|Write",
    ),
    ("py:class", r"Array|Bytes|FloatArray|Floats|Labels|Pixels"),
    ("py:obj", r"qimg_core\.ledger\.gathering\.(Item|Result)"),
]
default_role = "code"
