"""A client from its construction to its closing."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ConnectionPoolConfig,
    CookieJar,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    MemoryStorage,
    SentState,
    Timeout,
    __version__,
    deadline,
)
from http_service_client.client import backends
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import ORIGIN, URL, FakeClock, FakeTransport, Harness, short
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row


@pytest.mark.parametrize("value", [5, "config", {}, ConnectionPoolConfig(), HttpClientConfig])
def test_config_must_be_a_configuration(value: Any) -> None:
    """Neither a mapping nor the class."""
    with pytest.raises(ConfigurationError, match="config must be an HttpClientConfig"):
        HttpServiceClient(value)


SUFFIXES = (".toml", ".json", ".yaml", ".yml")


@each_row(
    ("value", "remedy"),
    [
        (URL, "; pass a URL as base_url="),
        *((f"clients{suffix}", "; write HttpClientConfig.from_file(path)") for suffix in SUFFIXES),
        *((Path(f"clients{suffix}"), "; write HttpClientConfig.from_file(path)") for suffix in SUFFIXES),
        (HttpServiceClient(), "; pass its config"),
        (Timeout, ""),
        (5, ""),
        ({"base_timeout": 3}, "; write HttpClientConfig.from_mapping(settings)"),
    ],
)
def test_a_url_or_a_dict_as_config_is_an_error_with_a_remedy(value: Any, remedy: str) -> None:
    """Other clients take the base URL first, and users have their settings in a plain dict."""
    with pytest.raises(ConfigurationError) as raised:
        HttpServiceClient(value)
    assert str(raised.value) == f"config must be an HttpClientConfig, not {type(value).__name__}{remedy}"


@each_row(
    ("part", "value"),
    [
        ("transport", 3),
        ("transport", ScriptedTransport),
        ("clock", 3),
        ("clock", VirtualClock),
        ("clock", time),
        ("random", 3),
        ("on_event", "print"),
        ("on_event", asyncio.sleep),
        ("interceptor_factory", {}),
    ],
    ids=short,
)
def test_a_part_that_cannot_do_its_work_is_refused(part: str, value: Any) -> None:
    """When the client is made, by the part's name; a class does not do for an object of it."""
    with pytest.raises(ConfigurationError, match=f"^{part} must be"):
        HttpServiceClient(**{part: value})


@pytest.mark.parametrize("cache", [5, True, {}, MemoryStorage()], ids=short)
def test_a_cache_is_an_object_of_ours(cache: Any) -> None:
    """Which may have another storage."""
    with pytest.raises(
        ConfigurationError, match=r"^cache must be a Cache or None, not .*; write cache=Cache\(\)$"
    ):
        HttpServiceClient(cache=cache)


@each_row(
    ("base_url", "message"),
    [
        ("api.example.com", "not absolute"),
        ("ftp://api.example.com", "scheme"),
        ("https://user:secret@api.example.com", "user information"),
        ("https://api.example.com?x=1", "query"),
        (5, "base_url must be text"),
        ("", "not absolute; write it as https://host/path$"),
    ],
)
def test_a_wrong_base_url_is_refused_when_the_client_is_made(base_url: Any, message: str) -> None:
    """The message does not show its password."""
    with pytest.raises(ConfigurationError, match=f"^(?=base_url).*{message}") as raised:
        HttpServiceClient(base_url=base_url)
    assert "secret" not in str(raised.value)


def test_a_call_after_close_is_an_error(front_end: FrontEnd) -> None:
    """It is a ClientClosedError and sends nothing. A client may be closed twice."""
    harness = Harness(front_end)
    harness.request()
    if front_end.name == "blocking":
        harness.client.close()
        harness.client.close()
    else:
        run_task(harness.client.close_async())
        run_task(harness.client.close_async())
    error = harness.error(ClientClosedError)
    assert isinstance(error, RuntimeError)
    assert "closed" in str(error)
    assert harness.sends == 1
    assert "closed" in repr(harness.client)


def test_leaving_the_block_closes_the_client() -> None:
    """`with` and `async with`; an error inside the block propagates."""
    with pytest.raises(ZeroDivisionError), HttpServiceClient(transport=FakeTransport()) as client:
        raise ZeroDivisionError
    with pytest.raises(ClientClosedError):
        client.get(URL)

    async def main() -> HttpServiceClient:
        async with HttpServiceClient(transport=FakeTransport()) as client:
            assert (await client.get_async(URL)).status_code == 200
        return client

    client = asyncio.run(main())
    with pytest.raises(ClientClosedError):
        client.get(URL)


@pytest.mark.parametrize(
    ("entered", "imported"),
    [
        (
            "with client: found = [OURS.format(each) in sys.modules for each in ('requests', 'aiohttp')]",
            "[True, False]",
        ),
        (
            "async def main():\n"
            "    async with client: return [OURS.format(each) in sys.modules for each in ('requests', 'aiohttp')]\n"
            "found = asyncio.run(main())",
            "[False, True]",
        ),
    ],
    ids=["blocking", "asyncio"],
)
def test_entering_imports_what_the_calls_need(entered: str, imported: str) -> None:
    """The first call of a process does not spend its deadline on it. The other side is not imported."""
    ours = "OURS = 'http_service_client.transports.over_{}.transport'"
    program = f"import asyncio, sys\nfrom http_service_client import HttpServiceClient\n{ours}\nclient = HttpServiceClient()\n{entered}\nprint(found)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.strip(), ran.stderr) == (imported, "")


INTERCEPTING = """
import sys
from http_service_client import HttpClientConfig, HttpServiceClient

class Plain:
    def intercept_request(self, request, context): return request
    def intercept_response(self, response, context): return response
    def sign_request(self, request, context): pass

class Async:
    async def intercept_request(self, request, context): return request
    async def intercept_response(self, response, context): return response
    async def sign_request(self, request, context): pass

async def sign(request, context): pass

for item in (Plain(), ITEM):
    HttpServiceClient(HttpClientConfig(SETTING=[item]))
    print("http_service_client.drivers.portal" in sys.modules)
"""


@pytest.mark.parametrize(
    ("setting", "item"),
    [
        ("request_interceptors", "Async()"),
        ("response_interceptors", "Async()"),
        ("request_signers", "Async()"),
        ("request_signers", "sign"),
    ],
)
def test_a_client_with_async_code_imports_what_runs_it(setting: str, item: str) -> None:
    """The first blocking call does not spend its deadline on it. One without such code imports nothing of it."""
    program = INTERCEPTING.replace("ITEM", item).replace("SETTING", setting)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.split(), ran.stderr) == (["False", "True"], "")


def test_a_client_with_hedges_imports_what_ends_them() -> None:
    """An error of asyncio, also in blocking calls: the first of them would import it."""
    program = (
        "import sys; from http_service_client import HttpClientConfig, HttpServiceClient\n"
        "client = HttpServiceClient(HttpClientConfig(hedging={'delay': 1.0})); print('asyncio' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.split(), ran.stderr) == (["True"], "")


def test_a_client_without_an_auth_flow_imports_nothing_of_one() -> None:
    """One with a flow does, before its first call."""
    program = (
        "import sys; from http_service_client import HttpClientConfig, HttpServiceClient, auth\n"
        "for each in ('token', auth.Bearer(lambda: 'token')):\n"
        "    HttpServiceClient(HttpClientConfig(auth=each))\n"
        "    print('http_service_client.core.layers.auth' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.split(), ran.stderr) == (["False", "True"], "")


@pytest.mark.parametrize("how", ["of a client", "of a view"])
def test_a_jar_is_safe_for_the_threads_of_a_client(how: str) -> None:
    """Whoever made it."""
    shared: list[object] = []

    class Jar(CookieJar):
        def share(self, lock: object) -> None:
            shared.append(lock)
            super().share(lock)

    if how == "of a client":
        HttpServiceClient(HttpClientConfig(cookies=Jar()))
    else:
        HttpServiceClient().with_options(cookies=Jar())
    assert len(shared) == 1


VERBS = ["get", "post", "put", "patch", "delete", "head", "options", "query"]


@each_row("verb", VERBS)
def test_each_verb_sends_its_method(front_end: FrontEnd, verb: str) -> None:
    """Sync and async, with the keywords of a call, and returns its response."""
    harness = Harness(front_end)
    if front_end.name == "blocking":
        response = getattr(harness.client, verb)(URL, params={"a": 1})
    else:
        response = run_task(getattr(harness.client, f"{verb}_async")(URL, params={"a": 1}))
    assert response.status_code == 200
    (sent,) = harness.transport.sent
    assert (sent.method, sent.url) == (verb.upper(), f"{URL}?a=1")


def test_a_base_url_is_a_prefix(front_end: FrontEnd) -> None:
    """Relative URLs are put under it, absolute ones are left as they are."""
    client = HttpServiceClient(base_url=f"{ORIGIN}/v1", transport=FakeTransport())
    for url, target in [("charges", "/v1/charges"), ("/charges", "/v1/charges"), ("", "/v1")]:
        assert front_end.request(client, "GET", url).url == ORIGIN + target
    assert (
        front_end.request(client, "GET", "https://other.example.com/x").url == "https://other.example.com/x"
    )


class Plain:
    """A transport of one front end alone."""

    def send(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
        return HttpResponse(200, url=request.url, request=request)


class Async:
    """A transport of the other one."""

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
        return HttpResponse(200, url=request.url, request=request)


def test_a_transport_may_be_of_one_front_end_alone() -> None:
    """Most programs use one. Something that can send in neither is refused."""
    assert HttpServiceClient(transport=Plain()).get(ORIGIN).status_code == 200
    assert run_task(HttpServiceClient(transport=Async()).get_async(ORIGIN)).status_code == 200
    for wrong in (object(), Plain, "https://proxy.test"):
        with pytest.raises(ConfigurationError, match="transport must be an object with send or send_async"):
            HttpServiceClient(transport=wrong)


@pytest.mark.parametrize("clock", [object(), FakeClock, time.monotonic])
def test_a_clock_has_all_that_a_client_needs(clock: Any) -> None:
    """An object of four methods, not their class."""
    with pytest.raises(ConfigurationError, match="clock must be an object with monotonic, wall, sleep"):
        HttpServiceClient(clock=clock)


def test_a_client_says_who_it_is(front_end: FrontEnd) -> None:
    """By its name and version, unless the user says something else."""
    harness = Harness(front_end, 200)
    harness.request()
    assert harness.transport.sent[0].headers["User-Agent"] == f"http-service-client/{__version__}"


@pytest.mark.parametrize(
    ("how", "aborts"),
    [({}, False), ({"abort": True}, True), ({"grace": 0.0}, True), ({"grace": 1.0}, True)],
    ids=["at once", "abort", "no grace", "grace"],
)
def test_what_is_left_after_a_grace_is_aborted(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], aborts: bool
) -> None:
    """Without one, the exchanges go on as the documentation says."""
    client = Harness(front_end, 200).client
    seen: list[bool] = []

    async def close_async(abort: bool) -> None:
        seen.append(abort)

    monkeypatch.setattr(client._backends, "close", lambda abort: seen.append(abort))
    monkeypatch.setattr(client._backends, "close_async", close_async)
    if front_end.name == "blocking":
        client.close(**how)
    else:
        run_task(client.close_async(**how))
    assert seen == [aborts]


@each_row(
    ("options", "message"),
    [
        ({"abort": 1}, "abort must be True or False"),
        ({"grace": -1}, "grace must be"),
        ({"grace": "1"}, "grace must be"),
    ],
)
def test_a_client_is_not_closed_by_wrong_arguments(
    front_end: FrontEnd, options: dict[str, Any], message: str
) -> None:
    """The error names the argument."""
    harness = Harness(front_end, 200)
    close = harness.client.close if front_end.name == "blocking" else harness.client.close_async
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        close(**options) if front_end.name == "blocking" else run_task(close(**options))
    assert harness.request().status_code == 200


@pytest.mark.parametrize(
    ("grace", "busy", "sleeps"),
    [(0.0, 9, []), (0.025, 0, []), (0.025, 2, [0.01, 0.01]), (0.025, 9, [0.01, 0.01, 0.005])],
)
def test_a_grace_ends_as_soon_as_no_call_is_in_flight(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, grace: float, busy: int, sleeps: list[float]
) -> None:
    """It looks a hundred times a second, and never longer than it may."""
    harness = Harness(front_end, 200)
    left = iter(range(busy, -1, -1))
    looks: list[int] = []

    def is_idle() -> bool:
        looks.append(next(left))
        return looks[-1] == 0

    monkeypatch.setattr(harness.client._backends, "is_idle", is_idle)
    if front_end.name == "blocking":
        harness.client.close(grace=grace)
    else:
        run_task(harness.client.close_async(grace=grace))
    assert harness.sleeps == pytest.approx(sleeps)
    assert len(looks) == (len(sleeps) + 1 if grace else 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_grace_that_is_interrupted_aborts_what_is_left(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Nobody else would. The interruption goes on."""
    harness = Harness(front_end, 200)
    aborted: list[bool] = []

    def interrupt(seconds: float) -> None:
        raise error

    monkeypatch.setattr(harness.clock, "sleep", interrupt)
    monkeypatch.setattr(harness.client._backends, "is_idle", lambda: False)
    monkeypatch.setattr(harness.client._backends, "close", lambda abort: aborted.append(abort))
    with pytest.raises(error):
        if front_end.name == "blocking":
            harness.client.close(grace=1.0)
        else:
            run_task(harness.client.close_async(grace=1.0))
    assert aborted == [True]


@each_row(("own", "expected"), [({}, 5.0), ({"total_timeout": 3.0}, 3.0), ({"total_timeout": 9.0}, 5.0)])
def test_a_call_in_a_block_with_a_deadline_has_no_more_time(
    front_end: FrontEnd, own: dict[str, Any], expected: float
) -> None:
    """Nor more than it asks for. After the block, it has what its client gives."""
    clock = VirtualClock()
    transport = ScriptedTransport(HttpResponse(200))
    client = front_end.client(transport=transport, clock=clock)
    with deadline(5.0, clock=clock.monotonic):
        front_end.request(client, "GET", URL, **own)
    front_end.request(client, "GET", URL)
    assert [sent.timeout.total for sent in transport.sent] == pytest.approx([expected, 30.0])


def test_circuits_without_a_name_are_listed_apart(front_end: FrontEnd) -> None:
    """The second one by its place in memory."""
    harness = Harness(front_end, 200)
    one, other = CircuitBreakerPolicy(), CircuitBreakerPolicy()
    for policy in (one, other):
        harness.request(circuit_breaker=policy)
    name = "unnamed circuit breaker"
    names = harness.client.get_circuit_breaker_states().keys() - {ORIGIN}
    assert names in ({name, f"{name} {id(one):#x}"}, {name, f"{name} {id(other):#x}"})


def test_all_that_a_listener_gets_has_a_name(front_end: FrontEnd) -> None:
    """The change of a circuit, too: it comes in production for the first time."""
    names: list[str] = []
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 1}, enable_retry_policy=False)
    client = HttpServiceClient(
        config,
        transport=ScriptedTransport([HttpResponse(500)]),
        on_event=lambda event: names.append(event.name),
    )
    front_end.request(client, "GET", URL)
    assert set(names) == {"circuit_state_changed", "attempt_finished", "call_finished"}


def test_a_first_call_that_can_open_no_file_is_an_error_of_ours(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It imports the code for its connections. A later call can, once there are files again."""

    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "transport.py")

    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    with monkeypatch.context() as patch:
        for name in ("_load_blocking", "_load_aio"):
            patch.setattr(backends, name, refuse)
        with pytest.raises(ConnectError, match=r"cannot be imported \(OSError: .*'transport.py'\)") as caught:
            front_end.request(client, "POST", URL)
    assert caught.value.sent_state is SentState.NEVER_SENT
    assert front_end.request(client, "POST", URL).status_code == 200
