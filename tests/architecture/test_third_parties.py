"""Third parties stay in the rooms that are named for them, so that each can be replaced or be missing."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch

import pytest

from kit.sources import NAME, imports, parse, sources

# Which files may import which third party, at any depth, functions included. What is not named
# here may be imported nowhere.
THIRD_PARTY: dict[str, list[str]] = {
    "requests": ["transports/over_requests/*", "integrations/requests_adapter.py", "testing/*"],
    "urllib3": ["transports/over_requests/*", "integrations/requests_adapter.py", "testing/*"],
    "aiohttp": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py", "testing/*", "cli/*"],
    "yarl": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py"],
    "multidict": ["transports/over_aiohttp/*", "integrations/aiohttp_middleware.py"],
    "certifi": ["transports/network/tls.py"],
    "backoff": ["core/machines/backoff.py"],
    "idna": ["http/hosts.py"],  # there wherever requests is, which depends on it
    "brotli": ["http/content_codings/libraries.py"],
    "brotlicffi": ["http/content_codings/libraries.py"],
    "compression": ["http/content_codings/libraries.py"],  # part of Python from 3.14
    "backports": ["http/content_codings/libraries.py"],
    "zstandard": ["http/content_codings/libraries.py"],
    "pydantic": ["client/response_types.py"],
    "neuroglia": ["integrations/neuroglia.py"],
    "pytest": ["testing/*"],
    "aioresponses": ["testing/mocks.py"],
    "tqdm": ["client/progress_bar.py"],
}

# `import http_service_client` is lazy: its own modules, by name, when first used.
LAZY = ("__init__.py", "<f'.{module}'>")


def stray_third_parties(tree: ast.Module, file: str) -> list[str]:
    """The imports of a file that `THIRD_PARTY` keeps elsewhere, and those that cannot be read from the source."""
    found = []
    for line, name, for_typing in imports(tree, file):
        top = name.partition(".")[0]
        if for_typing or top == NAME or top in sys.stdlib_module_names or (file, name) == LAZY:
            continue
        homes = THIRD_PARTY.get(top, [])
        if not any(fnmatch(file, home) for home in homes):
            found.append(f"{file}:{line} imports {top}, whose room is {homes or 'nowhere'}")
    return found


def test_third_parties_stay_in_their_rooms() -> None:
    """At any depth, functions included."""
    found = [problem for file in sources() for problem in stray_third_parties(parse(file), file)]
    assert not found, "\n" + "\n".join(found)


def test_every_room_named_here_exists() -> None:
    """A table that names files of the past would allow what it should not."""
    files = [*sources(), "integrations/requests_adapter.py", "integrations/aiohttp_middleware.py"]  # to come
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
    """Plain, from, by name, or by a name that only shows at run time."""
    assert len(stray_third_parties(ast.parse(source), file)) == 1


def test_what_only_a_type_checker_sees_is_no_dependency() -> None:
    """It is gone at run time."""
    source = "if TYPE_CHECKING:\n    import aiohttp"
    assert stray_third_parties(ast.parse(source), "client/client.py") == []
