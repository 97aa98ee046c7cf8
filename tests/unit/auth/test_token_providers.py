"""Tokens from a function of the user's own: how it runs, what it may return, and what becomes of its errors."""

from __future__ import annotations

import datetime
import math
import os
import pickle
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    HttpClientConfig,
    HttpResponse,
    SentState,
    TokenError,
)
from http_service_client.auth import BearerToken
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.oauth2 import NOW, run
from kit.rows import each_row
from kit.token_services import Service, harness


def test_a_provider_may_be_plain_or_async(front_end: FrontEnd) -> None:
    """Its token is kept, too."""
    asked: list[int] = []

    async def provide() -> str:
        asked.append(1)
        return "t1"

    for provider in (provide, lambda: "t1", lambda: provide()):
        service = Service()
        service.accepted.add("Bearer t1")
        client = harness(front_end, service, auth=BearerToken(provider))
        assert [client.request().status_code for _ in range(2)] == [200, 200]
    assert len(asked) == 2


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_provider_sees_nothing_of_the_caller(front_end: FrontEnd, is_async: bool) -> None:
    """The token is that of all callers: by chance, one of them is the first."""
    user: ContextVar[str] = ContextVar("user")
    seen: list[str] = []

    def provide() -> str:
        seen.append(user.get("nobody"))
        return "t1"

    async def provide_async() -> str:
        return provide()

    service = Service()
    service.accepted.add("Bearer t1")
    client = harness(front_end, service, auth=BearerToken(provide_async if is_async else provide))
    setting = user.set("alice")
    try:
        assert client.request().status_code == 200
    finally:
        user.reset(setting)
    assert seen == ["nobody"]


class Vault:
    """A provider that is an object. What it is asked on is noted."""

    def __init__(self) -> None:
        self.asked_on: list[threading.Thread] = []

    def note(self) -> str:
        self.asked_on.append(threading.current_thread())
        return "t1"


class PlainVault(Vault):
    def __call__(self) -> str:
        return self.note()


class AsyncVault(Vault):
    async def __call__(self) -> str:
        return self.note()


class OddVault(Vault):
    """As some mocks are."""

    __signature__ = "not that of a function"

    def __call__(self) -> str:
        return self.note()


@pytest.mark.parametrize(("kind", "is_apart"), [(PlainVault, True), (AsyncVault, False), (OddVault, True)])
def test_a_plain_provider_may_block_and_an_async_one_runs_where_it_is_awaited(
    kind: type[Any], is_apart: bool
) -> None:
    """The event loop would stand still for the one, and the other may use what belongs to the loop."""
    vault = kind()
    service = Service()
    service.accepted.add("Bearer t1")
    harness(AsyncioFrontEnd(), service, auth=BearerToken(vault)).request()
    assert (vault.asked_on[0] is not threading.current_thread()) is is_apart


def test_what_a_provider_raises_is_the_cause(front_end: FrontEnd) -> None:
    """And nothing is sent."""
    vault_down = RuntimeError("the vault is sealed")

    def provide() -> str:
        raise vault_down

    service = Service()
    error = harness(front_end, service, auth=BearerToken(provide)).error(TokenError)
    assert error.__cause__ is vault_down
    assert service.calls == []
    assert "provide: RuntimeError was raised" in str(error)
    assert "sealed" not in str(error)


def test_the_wait_that_a_provider_s_call_got_is_kept(front_end: FrontEnd) -> None:
    """Its error is the cause, and its `retry_after` that of the TokenError."""

    def provider() -> str:
        raise CircuitOpenError("the vault is down", retry_after=3.0)

    error = harness(front_end, Service(), auth=BearerToken(provider)).error(TokenError)
    assert isinstance(error.__cause__, CircuitOpenError)
    assert error.retry_after == 3.0
    assert str(error).endswith("provider: the vault is down")


def test_a_provider_s_own_client_may_be_closed(front_end: FrontEnd) -> None:
    """The client of the call is not: its error says that there is no token."""

    def provider() -> str:
        raise ClientClosedError("the client of the vault was closed")

    error = harness(front_end, Service(), auth=BearerToken(provider)).error(TokenError)
    assert isinstance(error.__cause__, ClientClosedError)


@each_row("is_async", [False, True], ids=["plain", "async"])
@each_row("distance", [1, 2])
def test_a_call_of_a_provider_does_not_wait_for_the_token_that_it_fetches(
    front_end: FrontEnd, distance: int, is_async: bool
) -> None:
    """It would wait for itself; also by way of another token, whose provider needs this one."""
    sources: list[BearerToken] = []
    calls: list[int] = []

    def provider_that_needs(number: int) -> Any:
        def plain() -> str:
            calls.append(number)
            return client.get(URL, auth=sources[number]).text

        async def asynchronous() -> str:
            calls.append(number)
            return (await client.get_async(URL, auth=sources[number])).text

        return asynchronous if is_async else plain

    sources += [BearerToken(provider_that_needs((number + 1) % distance)) for number in range(distance)]
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)), enable_retry_policy=False)
    message = "a call that fetches it needs the token itself; make that call with auth=None, or with another"
    with pytest.raises(TokenError, match=message) as caught:
        front_end.request(client, "GET", URL, auth=sources[0])
    assert caught.value.sent_state is SentState.NEVER_SENT
    assert len(calls) == distance


def test_a_provider_learns_which_token_was_refused(front_end: FrontEnd) -> None:
    """So that a cache shared with other processes does not return it again."""
    asked: list[str | None] = []

    def provide(refused: str | None) -> str:
        asked.append(refused)
        return "stale" if refused is None else "fresh"

    service = Service()
    service.accepted.add("Bearer fresh")
    client = harness(front_end, service, auth=BearerToken(provide))
    assert client.request().status_code == 200
    assert asked == [None, "stale"]


class Remote:
    """A proxy of a remote object: it has whatever attribute it is asked for."""

    def __call__(self) -> tuple[str, None]:
        return "t1", None

    def __getattr__(self, name: str) -> Remote:
        return Remote()


def test_a_provider_whose_parameters_cannot_be_read_is_given_no_argument(front_end: FrontEnd) -> None:
    """A function of a compiled module, or a proxy, may say nothing of them."""
    service = Service()
    service.accepted.add("Bearer t1")
    client = harness(front_end, service, auth=BearerToken(Remote()))
    assert client.request().status_code == 200


@each_row("takes", ["several", "a default", "by name"])
def test_a_provider_that_needs_no_argument_gets_none(front_end: FrontEnd, takes: str) -> None:
    """What it takes may be of another kind than a refused token."""
    asked: list[Any] = []

    def several(*given: Any, **named: Any) -> str:
        asked.append((given, named))
        return "t1"

    def defaulted(scope: str = "read") -> str:
        asked.append(scope)
        return "t1"

    def by_name(*, scope: str = "read") -> str:
        return defaulted(scope)

    provider = {"several": several, "a default": defaulted, "by name": by_name}[takes]
    service = Service()
    service.accepted.add("Bearer t1")
    client = harness(front_end, service, auth=BearerToken(provider))
    assert client.request().status_code == 200
    assert asked == [((), {}) if takes == "several" else "read"]


def test_an_async_provider_that_hangs_ends_with_its_timeout(front_end: FrontEnd) -> None:
    """It is cancelled, and the call fails."""
    import asyncio

    async def provide() -> str:
        await asyncio.Event().wait()
        return ""

    client = harness(front_end, Service(), auth=BearerToken(provide, timeout=0.01))
    assert "it returned no token within 0.01 s" in str(client.error(TokenError))


@each_row(
    ("expiry", "expires_at"),
    [
        (100, 100.0),
        (100.5, 100.5),
        (0.5, 0.5),
        (999_999_999, 999_999_999.0),
        (1_000_000_000, 1_000_000_000 - NOW.timestamp()),  # from here on: seconds since the epoch
        (NOW + datetime.timedelta(seconds=100), 100.0),
        (NOW.timestamp() + 100, None),  # 1994: taken for seconds from now
    ],
)
def test_a_provider_may_say_when_its_token_expires(
    front_end: FrontEnd, expiry: Any, expires_at: float | None
) -> None:
    """By seconds from now, or by an aware datetime."""
    auth = BearerToken(lambda: ("t1", expiry))
    run(front_end, auth).request()
    token = auth.cache._token
    assert token is not None
    assert token.lifetime == (expires_at if expires_at is not None else expiry)


@pytest.mark.parametrize("expiry", [None, math.inf])
def test_a_provider_s_token_may_have_no_end(front_end: FrontEnd, expiry: Any) -> None:
    """It is used until it is refused."""
    asked: list[int] = []

    def provide() -> Any:
        asked.append(1)
        return "t1", expiry

    harness = run(front_end, BearerToken(provide))
    harness.request()
    harness.clock.now += 1e9
    assert harness.request().status_code == 200
    assert len(asked) == 1


def test_an_expiry_of_a_provider_may_count_from_the_epoch(front_end: FrontEnd) -> None:
    """As azure-identity's AccessToken does: no token is valid for 31 years."""
    auth = BearerToken(lambda: ("t1", 1_000_000_100))
    harness = run(front_end, auth)
    harness.clock._wall_offset = 1_000_000_000 - harness.clock.now
    harness.request()
    token = auth.cache._token
    assert token is not None
    assert token.lifetime == pytest.approx(100.0)


@each_row(
    ("found", "problem"),
    [
        (None, "it must return a token, or (token, expiry), not NoneType"),
        (("t", "soon"), "its expiry must be seconds or a datetime, not str"),
        (("t", -5), "its token has expired already"),
        (("t", 0), "its token has expired already"),
        (("t", True), "its expiry must be seconds or a datetime, not bool"),
        (("t", NOW), "its token has expired already"),
        (("t", 5, 5), "it must return a token, or (token, expiry), not tuple"),
        ((5, 5), "it must return a token, or (token, expiry), not tuple"),
        (("t", math.nan), "its expiry must be seconds or a datetime, not nan"),
        (("t", NOW.replace(tzinfo=None)), "its expiry is a datetime without a time zone"),
        ("Bearer t", "leave out its 'Bearer '"),
        ("", "the token in auth is empty"),
    ],
)
def test_a_provider_that_returns_no_token_is_reported(front_end: FrontEnd, found: Any, problem: str) -> None:
    """With what it should return."""
    assert problem in str(run(front_end, BearerToken(lambda: found)).error(TokenError))


def test_a_copy_of_a_provider_s_token_has_its_settings_alone() -> None:
    """A token is not a setting."""
    auth = BearerToken(os.getcwd, refresh_ahead=5.0, timeout=7.0)
    twin = pickle.loads(pickle.dumps(auth))
    assert (twin.source_name, twin.refresh_ahead, twin.timeout) == ("getcwd", 5.0, 7.0)
    assert twin.cache is not auth.cache
    assert (twin, hash(twin)) == (auth, hash(auth))
    assert auth not in (BearerToken(os.getcwd), BearerToken(os.getpid, refresh_ahead=5.0, timeout=7.0), None)
    assert HttpClientConfig(auth=auth) == HttpClientConfig(auth=twin)
    assert repr(twin) == "BearerToken(getcwd)"


@pytest.mark.parametrize(
    "settings", [{"timeout": 0}, {"timeout": None}, {"refresh_ahead": -1}, {"refresh_ahead": None}]
)
def test_wrong_settings_of_a_provider_are_refused(settings: dict[str, Any]) -> None:
    """With the name of the setting."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(settings))} must be"):
        BearerToken(os.getcwd, **settings)


def test_a_provider_must_be_a_function() -> None:
    """A token that never changes has a class of its own."""
    with pytest.raises(ConfigurationError, match=r"write auth\.Bearer\(token\)"):
        BearerToken("t0k3n")  # type: ignore[arg-type]
