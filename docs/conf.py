"""The build of the documentation: Sphinx, with pages in Markdown (MyST) and the furo theme.

The build needs no network: it does without intersphinx, whose inventories would have to be fetched.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))
sys.path.insert(0, str(_HERE / "_ext"))
# The checkout comes before an installed copy, so that the pages describe the code beside them.
sys.path.insert(0, str(_HERE.parent))

from http_service_client._version import __version__  # noqa: E402  # needs the path above

project = "http-service-client"
author = "the http-service-client authors"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "plain_docstrings", "public_names", "diagrams"]

source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # so that pages can link to headings of other pages

html_theme = "furo"
html_title = f"http-service-client {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

default_role = "code"  # in docstrings, single backticks are code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 120  # a longer one has a line for each parameter

# Every name of this package that a page mentions must exist. Names of other packages cannot be looked up
# without fetching their inventories; these, and nothing else, may stay without a link.
nitpicky = True
_OTHERS = sorted(
    {*sys.stdlib_module_names, "aiohttp", "multidict", "neuroglia", "pydantic", "requests", "urllib3", "yarl"}
)
# Types in public signatures that have no public name: users pass, receive or compare such objects, and do not
# import their classes.
_UNLINKED = [
    "App",  # the type of an application that a middleware wraps
    "AttemptLoop",  # what `attempts()` returns: for a `for` loop
    "AsyncBodyFile",  # what `as_file()` of an asyncio stream returns
    "AsyncStreamContext",  # what `stream_async()` returns: for `async with`
    "BudgetSettings",  # `RetryQuotaSettings` or `RetryBudgetSettings`
    "Clock",  # a `VirtualClock`, or any object with its methods
    "Data",  # the type of a response's data
    "Decision",  # what a refusal was decided by: for `explain(why=True)`
    "F",  # the type of the function that a policy is put around
    "Item",  # an awaitable, or a function that returns one: what `gather` takes
    "Listening",  # what an event source is made of
    "Labels",  # names and values of labels, as a tuple of pairs
    "Metric",  # prometheus_client's, whose import is for type checkers alone
    "MeterProvider",  # OpenTelemetry's, as are the next ones of this kind
    "Next",  # a function that says which page comes next
    "ObservedClient",  # an `HttpServiceClient`, or a view
    "Outcome",  # a response, or a failure
    "P",  # the parameters of a function that a policy calls
    "R",  # the result of such a function
    "S",  # the record of a policy's settings
    "ServiceCollection",  # neuroglia's, whose import is for type checkers alone
    "StreamContext",  # what `stream()` returns: for `with`
    "SupportsModelDump",  # a model of pydantic
    "T",  # of a `response_type`, or of the results that are gathered
    "Telemetry",  # an `OpenTelemetry`, or any object with its methods
    "TextMapPropagator",
    "Time",  # a `VirtualClock`
    "TracerProvider",
    "Url",  # a parsed URL; text will do
]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(map(re.escape, _OTHERS))})\..*"),
    ("py:.*", rf"(http_service_client\.[\w.]+\.)?({'|'.join(_UNLINKED)})"),
]


def _write_llms(app: Any, error: Exception | None) -> None:
    """The pages as text, at the root of the site: see docs/llms.py."""
    if error is None and app.builder.format == "html":
        import llms

        out = Path(app.outdir)
        (out / "llms.txt").write_text(llms.llms(), "utf-8")
        (out / "llms-full.txt").write_text(llms.llms_full(), "utf-8")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", _write_llms)
