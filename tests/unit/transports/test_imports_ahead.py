"""A transport imports what its calls will need when it is made: a signal in a call could leave a module half-imported."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_aiohttp import hook_detection as aiohttp_hooks
from http_service_client.transports.over_aiohttp import transport as over_aiohttp
from http_service_client.transports.over_requests import hook_detection as requests_hooks
from http_service_client.transports.over_requests import transport as over_requests


def loaded(
    module: Any, kind: type, is_hooked: bool, patch: pytest.MonkeyPatch, https_proxy: str | None = None
) -> list[str]:
    """What a transport of this kind imports as it is made."""
    loaders: list[str] = []
    patch.setattr(module, "is_hooked", lambda: is_hooked)
    patch.setattr(module, "import_apart", lambda load: loaders.append(load.__name__))
    proxies = ProxySettings(http="https://proxy.test", https=https_proxy)
    kind(TransportSettings(60.0, 100, None, True, TlsSettings(), proxies)).close()
    return loaders


@pytest.mark.parametrize(
    ("module", "kind", "expected"),
    [
        (over_requests, over_requests.RequestsTransport, ["_load_requests"]),
        (over_aiohttp, over_aiohttp.AiohttpTransport, ["_load_hooked"]),
    ],
    ids=["blocking", "asyncio"],
)
def test_a_library_is_imported_ahead_where_something_has_hooked_in(
    module: Any, kind: type, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nowhere else: that takes longer than a call."""
    assert loaded(module, kind, True, monkeypatch) == expected
    assert loaded(module, kind, False, monkeypatch) == []


@pytest.mark.parametrize(
    ("proxy", "is_needed"),
    [
        ("https://proxy.test", True),
        ("http://proxy.test", False),
        ("socks5://proxy.test", False),
        ("gopher://proxy.test", False),
        (None, False),
    ],
)
def test_tls_within_tls_is_imported_ahead_where_a_proxy_needs_it(
    proxy: str | None, is_needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For https URLs through a proxy that is reached by TLS."""
    found = loaded(over_requests, over_requests.RequestsTransport, False, monkeypatch, proxy)
    assert found == (["_load_nested_tls"] if is_needed else [])


@pytest.mark.parametrize(
    ("hooks", "hook"),
    [
        (requests_hooks, "requests.sessions.Session.send"),
        (aiohttp_hooks, "aiohttp.client.ClientSession._request"),
    ],
    ids=["requests", "aiohttp"],
)
def test_a_library_that_was_imported_for_instrumentation_may_have_no_hook(
    hooks: Any, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for imports may wait for others. Then exchanges go their usual way."""
    assert not hooks._is_hooked_by_import()
    monkeypatch.setattr(hook, lambda *given, **options: None)
    assert hooks._is_hooked_by_import()
