"""What aiohttp resolves: by the resolver that both transports share, under the same policy, and nothing where no name counts."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import EgressPolicy, EgressRefusedError
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.transports.over_aiohttp.hooked import resolver
from http_service_client.transports.over_aiohttp.hooked.resolver import SharedResolver
from http_service_client.transports.over_aiohttp.hooked.timer import EXCHANGE
from kit.front_ends import run_task

PRIVATE, PUBLIC, PUBLIC_6 = "10.0.0.1", "93.184.216.34", "2606:2800:220:1::1"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is resolved, to a private address and two public ones."""
    names: list[Any] = []

    async def resolve(host: str, port: int) -> list[Any]:
        names.append((host, port))
        return [(None, None, 6, "", (address, 8080, 0, 0)) for address in (PRIVATE, PUBLIC, PUBLIC_6)]

    monkeypatch.setattr(resolver, "resolve_async", resolve)
    return names


def exchange(proxy: str | None = None, path: str | None = None) -> Any:
    return SimpleNamespace(socket_path=path, proxy=None if proxy is None else read_proxy(proxy))


def resolved(current: Any, egress: EgressPolicy | None = None, **options: Any) -> list[Any]:
    async def resolve() -> list[Any]:
        EXCHANGE.set(current)
        made = SharedResolver(egress)
        found = await made.resolve("a.test", **options)
        await made.close()
        return list(found)

    found: list[Any] = run_task(resolve())
    return found


def entry(address: str, port: int, family: int = socket.AF_INET) -> dict[str, Any]:
    return {
        "hostname": "a.test", "host": address, "port": port, "family": family, "proto": socket.IPPROTO_TCP, "flags": 0,
    }  # fmt: skip


def test_every_address_is_given_in_aiohttp_s_form(asked: list[Any]) -> None:
    """Its family by the address. A port that is not given is 0."""
    expected = [entry(PRIVATE, 8080), entry(PUBLIC, 8080), entry(PUBLIC_6, 8080, socket.AF_INET6)]
    for current in (None, exchange(), exchange("http://proxy.test")):
        assert resolved(current, port=8080) == expected
    assert resolved(None) == expected
    assert asked == [("a.test", 8080)] * 3 + [("a.test", 0)]


@pytest.mark.parametrize(("proxy", "path"), [("socks5://proxy.test", None), (None, "/run/a.sock")])
def test_no_name_is_resolved_where_the_address_does_not_count(
    asked: list[Any], proxy: str | None, path: str | None
) -> None:
    """The connection leads to a proxy that is connected already, or to a Unix socket."""
    assert resolved(exchange(proxy, path), EgressPolicy(), port=80) == [entry("0.0.0.0", 80)]
    assert asked == []


@pytest.mark.parametrize(
    ("current", "is_checked"), [(None, True), (exchange(), True), (exchange("http://proxy.test"), False)]
)
def test_a_policy_holds_for_all_but_a_proxy(asked: list[Any], current: Any, is_checked: bool) -> None:
    """The operator chose that."""
    found = [each["host"] for each in resolved(current, EgressPolicy(), port=80)]
    assert found == ([PUBLIC, PUBLIC_6] if is_checked else [PRIVATE, PUBLIC, PUBLIC_6])


def test_a_name_without_an_allowed_address_is_refused(asked: list[Any]) -> None:
    """With the reason of its first address."""
    with pytest.raises(EgressRefusedError, match=PRIVATE):
        resolved(None, EgressPolicy(denied_hosts=[PUBLIC, PUBLIC_6]), port=80)
