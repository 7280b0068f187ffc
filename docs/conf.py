"""Sphinx configuration; built by `make docs`, warnings as errors."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import eqjax

sys.path.insert(0, str(Path(__file__).parent))

project = "eqjax"
author = "The eqjax authors"
project_copyright = "The eqjax authors"
version = release = eqjax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "plain_docstrings",
]
exclude_patterns = ["_build"]

default_role = "code"  # single backticks are code in docstrings, as in Markdown

html_theme = "furo"
html_title = f"eqjax {version}"
html_show_sourcelink = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Code cells are run at every build, and an exception in one is an error: a cached
# result would outlive a change of the library.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_merge_streams = True
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Types stand in the signature as they are written; docstrings say the shapes again
# only where words help.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # reads the star of "*batch" as emphasis
python_use_unqualified_type_names = True
add_module_names = False


# How autodoc spells a type, and how its readers do.
SPELLINGS = {
    re.compile(r"(?:jax\.)?jaxlib\._jax\.Array"): "Array",
    re.compile(r"str \| type\[\S*Any\] \| \S*dtype \| \S*SupportsDType"): "DTypeLike",
}


def spell_types(
    app: Any, what: str, name: str, obj: Any, options: Any, *parts: str | None
) -> tuple[str | None, ...]:
    """Shortens type names in the arguments and in the return annotation."""

    def spell(part: str | None) -> str | None:
        for pattern, spelling in SPELLINGS.items():
            part = part and pattern.sub(spelling, part)
        return part

    return tuple(spell(part) for part in parts)


def skip_member(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out the "Alias for field number 0" of named tuples."""
    documentation = getattr(obj, "__doc__", None) or ""
    return True if documentation.startswith("Alias for field number") else None


def setup(app: Any) -> dict[str, bool]:
    """Registers this file's hooks."""
    app.connect("autodoc-process-signature", spell_types)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True}
