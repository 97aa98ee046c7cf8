"""How the documentation is built: Sphinx, with pages in Markdown (MyST) and the furo theme.

The build needs no network: there is no intersphinx, whose inventories would have to be fetched.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "_ext"))  # extensions of our own
# The checkout before an installed copy, so that the pages show the code beside them.
sys.path.insert(0, str(_HERE.parent))

from http_service_client._version import __version__  # noqa: E402  # needs the path above

project = "http-service-client"
author = "the http-service-client authors"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "plain_docstrings"]
if (_HERE / "_ext" / "diagrams.py").exists():  # draws the pipeline and the breaker from the code
    extensions.append("diagrams")

source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # so that pages may link to each other's headings

html_theme = "furo"
html_title = f"http-service-client {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

default_role = "code"  # in docstrings, single backticks are code
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"  # a one-line docstring stays one line
autodoc_preserve_defaults = True

# Every name of ours that a page mentions must exist. Names of others cannot be looked up without
# fetching their inventories; these, and nothing else, may stay without a link.
nitpicky = True
_OTHERS = sorted(
    {*sys.stdlib_module_names, "aiohttp", "multidict", "neuroglia", "pydantic", "requests", "urllib3", "yarl"}
)
nitpick_ignore_regex = [("py:.*", rf"({'|'.join(map(re.escape, _OTHERS))})\..*")]
