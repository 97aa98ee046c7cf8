"""Third-party libraries stay in the rooms named for them, so that each can be replaced or be missing."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch

import pytest

from kit.sources import NAME, imports, parse, sources

pytestmark = pytest.mark.once

# The files that may import a third-party library, at any depth, functions included. A library that is not named
# here may not be imported at all.
THIRD_PARTY: dict[str, list[str]] = {
    "requests": ["transports/over_requests/*", "integrations/requests_adapter.py", "testing/*"],
    "urllib3": [
        *(
            "transports/over_requests/*",
            "integrations/requests_adapter.py",
            "integrations/bounded_sockets.py",
        ),
        "testing/*",
    ],
    "aiohttp": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py", "testing/*", "cli/*"],
    "yarl": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py"],
    "multidict": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py"],
    "h2": ["transports/over_h2/*"],
    "hpack": ["transports/over_h2/*"],  # h2 depends on it
    "certifi": ["transports/network/tls.py"],
    "backoff": ["core/machines/retry/other_backoffs.py"],
    "idna": ["http/hosts.py"],  # installed with requests, which depends on it
    "brotli": ["http/content_codings/libraries.py"],
    "brotlicffi": ["http/content_codings/libraries.py"],
    "compression": ["http/content_codings/libraries.py"],  # part of Python from 3.14
    "backports": ["http/content_codings/libraries.py"],
    "zstandard": ["http/content_codings/libraries.py"],
    "publicsuffixlist": ["http/cookies/suffixes.py"],
    "botocore": ["auth/aws.py"],
    "http_message_signatures": ["auth/message_signature.py"],
    "pygments": ["cli/console.py"],  # rich depends on it
    "rich": ["cli/console.py"],
    "pydantic": ["client/response_types.py"],
    "neuroglia": ["integrations/neuroglia.py"],
    "pytest": ["testing/*"],
    "aioresponses": ["testing/mocks.py"],
    "tqdm": ["client/progress_bar.py", "cli/simulate.py"],
    "matplotlib": ["simulation/plots.py"],
    "tomli": ["client/config/sources/files.py"],  # before Python 3.11
    "tomllib": ["client/config/sources/files.py"],  # from there on
    "msgspec": ["client/msgspec_and_attrs.py", "http/bodies/json_codecs.py"],
    "orjson": ["http/bodies/json_codecs.py"],
    "cattrs": ["client/msgspec_and_attrs.py"],
    "opentelemetry": ["observability/exemplars.py", "observability/opentelemetry/*"],
    "prometheus_client": [
        *("observability/prometheus.py", "observability/worker_files.py"),
        "cli/demo/metrics.py",
    ],
    "redis": ["integrations/redis.py"],
    "structlog": ["observability/structlog.py"],
    "trio": ["drivers/on_trio.py"],
    "yaml": ["client/config/sources/files.py"],
}

# The names of some packages are imported when they are first used (test_lazy_names.py has their modules). The command line
# imports the module of the command that runs.
LAZY = {("lazy.py", "<module>"), ("cli/__init__.py", "<module_name>")}


def stray_third_parties(tree: ast.Module, file: str) -> list[str]:
    """The imports of a file that `THIRD_PARTY` does not allow there, and those that the source does not show."""
    found = []
    for line, name, for_typing in imports(tree, file):
        top = name.partition(".")[0]
        if for_typing or top == NAME or top in sys.stdlib_module_names or (file, name) in LAZY:
            continue
        homes = THIRD_PARTY.get(top, [])
        if not any(fnmatch(file, home) for home in homes):
            found.append(f"{file}:{line} imports {top}, which is allowed in {homes or 'no file'}")
    return found


def test_third_parties_stay_in_their_rooms() -> None:
    """At any depth, functions included."""
    found = [problem for file in sources() for problem in stray_third_parties(parse(file), file)]
    assert not found, "\n" + "\n".join(found)


def test_every_file_in_the_table_exists() -> None:
    """A stale entry would allow an import that nobody intended."""
    files = sources()
    stale = {
        home for homes in THIRD_PARTY.values() for home in homes if not any(fnmatch(f, home) for f in files)
    }
    assert stale == set()


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("client/client.py", "import requests"),
        ("client/client.py", "from aiohttp import web"),
        ("client/client.py", "importlib.import_module('urllib3.util')"),
        ("http/content_codings/codecs.py", "def f(name):\n    return importlib.import_module(name)"),
        ("transports/over_requests/transport.py", "import httpx"),
    ],
)
def test_a_stray_import_is_found(file: str, source: str) -> None:
    """By `import`, by `from`, by name, or by a name that only exists at run time."""
    assert len(stray_third_parties(ast.parse(source), file)) == 1


def test_an_import_for_type_checkers_is_not_a_dependency() -> None:
    """It does not run."""
    source = "if TYPE_CHECKING:\n    import aiohttp"
    assert stray_third_parties(ast.parse(source), "client/client.py") == []
