"""The scripted transport: a network without sockets, in virtual time."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    InvalidRequestError,
    ReadTimeoutError,
    ResponseTooLargeError,
    SentState,
    Timeout,
)
from http_service_client.errors import Failure
from http_service_client.testing import ScriptedTransport, VirtualClock, late, scripted_transport
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/charges?at=once"


def scripted(script: Any, **settings: Any) -> tuple[HttpServiceClient, ScriptedTransport]:
    """A client over a script, in virtual time."""
    clock = VirtualClock()
    transport = ScriptedTransport(script, clock=clock)
    return HttpServiceClient(transport=transport, clock=clock, random=lambda: 0.5, **settings), transport


def test_a_script_is_played_in_order_and_recorded() -> None:
    """Responses and socket errors are outcomes. `sent` has all exchanges, `requests` those that reached a server."""
    client, transport = scripted(
        [ConnectionRefusedError(), HttpResponse(503), HttpResponse(200, content=b"ok")]
    )
    response = client.put(URL, json={"a": 1})
    assert (response.content, response.url, response.reason_phrase) == (b"ok", URL, "OK")
    assert [sent.content for sent in transport.sent] == [b"", b'{"a":1}', b'{"a":1}']
    assert [request.url for request in transport.requests] == [URL, URL]


def test_a_body_is_read_when_it_is_sent_and_not_before(front_end: FrontEnd) -> None:
    """In pieces, as by a socket. One that was not read yet may be sent again."""
    clock = VirtualClock()
    transport = ScriptedTransport([ConnectionRefusedError(), HttpResponse(200)], clock=clock)
    client = front_end.client(transport=transport, clock=clock)
    front_end.request(client, "PUT", URL, data=iter([b"one", b"two"]))
    assert [sent.content for sent in transport.sent] == [b"", b"onetwo"]
    assert [request.method for request in transport.requests] == ["PUT"]


def test_a_late_outcome_advances_the_clock(front_end: FrontEnd) -> None:
    """By its latency, which is no wait of the client's."""
    clock = VirtualClock()
    transport = ScriptedTransport(late(1.5, HttpResponse(200)), clock=clock)
    front_end.request(front_end.client(transport=transport, clock=clock), "GET", URL)
    assert (clock.monotonic(), clock.waits) == (1.5, [])


GONE = Failure(ConnectionLostError, "gone", SentState.MAYBE_PROCESSED)


@each_row(
    ("outcome", "error", "state"),
    [
        (ConnectionRefusedError(), ConnectError, SentState.NEVER_SENT),
        (ConnectionResetError(), ConnectionLostError, SentState.MAYBE_PROCESSED),
        (TimeoutError(), ReadTimeoutError, SentState.MAYBE_PROCESSED),
        (GONE, ConnectionLostError, SentState.MAYBE_PROCESSED),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_an_error_of_a_socket_fails_as_on_a_network(
    front_end: FrontEnd, outcome: OSError | Failure, error: type[HttpClientError], state: SentState
) -> None:
    """While connecting or later, by its kind. A failure stands for itself."""
    client = front_end.client(transport=ScriptedTransport(outcome), enable_retry_policy=False)
    with pytest.raises(error) as raised:
        front_end.request(client, "GET", URL)
    assert (type(raised.value), raised.value.sent_state) == (error, state)


@each_row(
    ("response", "method", "content", "phrase"),
    [
        (HttpResponse(200, content=b"abc"), "GET", b"abc", "OK"),
        (HttpResponse(200, content=b"abc"), "HEAD", b"", "OK"),
        (HttpResponse(200, reason_phrase="Fine"), "GET", b"", "Fine"),
        (HttpResponse(299), "GET", b"", ""),
    ],
    ids=["plain", "head", "phrase", "no phrase"],
)
def test_a_response_is_as_a_server_would_send_it(
    front_end: FrontEnd, response: HttpResponse, method: str, content: bytes, phrase: str
) -> None:
    """HEAD has no body. A phrase that is not scripted is the usual one, if there is one."""
    client = front_end.client(transport=ScriptedTransport(response))
    found = front_end.request(client, method, URL)
    assert (found.content, found.reason_phrase) == (content, phrase)


def test_a_body_of_something_else_fails_the_call(front_end: FrontEnd) -> None:
    """As on a network: it was being sent, so the server may have processed what it got."""
    pieces: Any = iter([b"one", 2])
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    with pytest.raises(InvalidRequestError) as raised:
        front_end.request(client, "POST", URL, data=pieces)
    assert raised.value.sent_state is SentState.MAYBE_PROCESSED
    assert raised.value.timeline is not None


def test_a_script_may_be_for_each_url() -> None:
    """The URL without its query is looked up first, then the path, then "*". Without a match it is a LookupError."""
    script = {"https://api.example.com/charges": HttpResponse(201), "/charges": HttpResponse(202)}
    client, _ = scripted(script)
    assert client.get(URL).status_code == 201
    assert client.get("https://other.example.com/charges").status_code == 202
    with pytest.raises(
        LookupError,
        match=r"for GET https://other\S+/else, only for 'https://api\.example\.com/charges', '/charges'$",
    ):
        client.get("https://other.example.com/else")
    assert scripted({**script, "*": HttpResponse(203)})[0].get("https://a.example/b").status_code == 203


@each_row(
    ("script", "message"),
    [
        ("ok", "not 'ok'$"),
        (200, r"not 200; write HttpResponse\(200\)$"),
        ([HttpResponse(200), 503], r"not 503; write HttpResponse\(503\)$"),
        ({"/charges": None}, "not None$"),
        (late(1, late(1, b"ok")), "not b'ok'$"),  # type: ignore[arg-type]  # that is the test
        (httpx.Response(200), r"not <Response \[200 OK\]>; write an HttpResponse$"),
    ],
)
def test_a_script_of_something_else_is_refused_at_once(script: Any, message: str) -> None:
    """When it is made, and not by the call that comes to the wrong entry."""
    with pytest.raises(TypeError, match=f"a script consists of responses, failures and errors, {message}"):
        ScriptedTransport(script)


@each_row(
    ("key", "remedy"),
    [
        ("orders", "; write '/orders'"),
        ("GET /orders", "; write '/orders'"),
        ("/orders?page=1", "; write '/orders'"),
        ("https://api.example.com/orders?page=1", "; write 'https://api.example.com/orders'"),
        ("GET https://api.example.com/orders", "; write 'https://api.example.com/orders'"),
        ("", ""),
        (404, ""),
    ],
)
def test_a_key_that_matches_no_request_is_refused_at_once(key: Any, remedy: str) -> None:
    """Its script would never be played, and the call would be answered by that of "*"."""
    with pytest.raises(
        TypeError, match=f"^a key of a script must be a path .*, not {re.escape(repr(key) + remedy)}$"
    ):
        ScriptedTransport({key: HttpResponse(200), "*": HttpResponse(404)})


@pytest.mark.parametrize("is_late", [False, True])
def test_a_function_of_a_script_is_plain(is_late: bool) -> None:
    """Blocking calls play the same script, and nobody would await it."""

    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    script: Any = late(1.0, answer) if is_late else answer  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match=r"^a function of a script must be plain, not the async <function"):
        ScriptedTransport([script])


def test_what_a_function_returns_is_checked_by_its_call() -> None:
    """It is not known before."""
    client, _ = scripted(lambda request: 503)
    with pytest.raises(TypeError, match=r"write HttpResponse\(503\)$"):
        client.get(URL)


def test_an_outcome_may_depend_on_the_request() -> None:
    """A function is called for each request."""
    client, _ = scripted(lambda request: HttpResponse(200, content=request.method.encode()))
    assert client.delete(URL).content == b"DELETE"


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(2.0, AttemptTimeoutError), (Timeout(total=9.0, read=2.0), ReadTimeoutError)],
    ids=str,
)
def test_a_late_outcome_times_out_as_on_a_network(timeout: Any, error: type[Exception]) -> None:
    """A latency within the timeout advances the clock; a longer one is the timeout's failure, on time."""
    client, transport = scripted([late(1.5, HttpResponse(200)), late(2.5, HttpResponse(200))])
    assert client.get(URL, timeout=timeout, retry_policy=None).timeline[0].duration == 1.5  # type: ignore[index, union-attr]
    with pytest.raises(error) as raised:
        client.get(URL, timeout=timeout, retry_policy=None)
    assert raised.value.timeline[0].duration == 2.0  # type: ignore[attr-defined]
    assert len(transport.requests) == 2


def test_without_a_clock_a_late_outcome_takes_its_time() -> None:
    """It sleeps, sync and async."""
    client = HttpServiceClient(transport=ScriptedTransport(late(0.03, HttpResponse(200))))
    for call in (lambda: client.get(URL), lambda: asyncio.run(client.get_async(URL))):
        started = time.monotonic()
        assert call().elapsed == 0.03
        assert time.monotonic() - started > 0.025


@pytest.mark.parametrize("status", [200, 404])
def test_the_size_limit_applies_as_on_a_network(front_end: FrontEnd, status: int) -> None:
    """To a whole response, to one that was to be streamed, and to a stream when it is read."""
    transport = ScriptedTransport([HttpResponse(status, content=bytes(101))])
    client = front_end.client(transport=transport, max_response_size=100)
    with pytest.raises(ResponseTooLargeError, match="max_response_size \\(100 bytes\\)") as caught:
        front_end.request(client, "GET", URL)
    assert caught.value.sent_state.value == "answered"
    with pytest.raises(ResponseTooLargeError), front_end.stream(client, "GET", URL) as response:
        response.read()
    enough = {"max_response_size": 101}
    if status == 200:
        with front_end.stream(client, "GET", URL, **enough) as response:
            assert len(response.read()) == 101
    assert len(front_end.request(front_end.client(transport=transport, **enough), "GET", URL).content) == 101


def test_threads_share_a_script() -> None:
    """Each outcome is used once, the last one for all further exchanges."""
    outcomes = [HttpResponse(200, content=str(number).encode()) for number in range(400)]
    transport = ScriptedTransport([*outcomes, HttpResponse(204)])
    client = HttpServiceClient(transport=transport)
    returned: list[tuple[str, bytes]] = []

    def work(number: int) -> None:
        for call in range(60):
            url = f"{URL}?thread={number}&call={call}"
            returned.append((url, client.get(url).content))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = [content for _, content in returned]
    assert sorted(contents) == sorted([each.content for each in outcomes] + [b""] * 80)
    sent = [(each.request.url, each.outcome.content) for each in transport.sent]  # type: ignore[union-attr]  # all are responses
    assert sorted(returned) == sorted(sent)  # each call got the outcome of its own request


def test_the_deadline_cuts_a_late_outcome_in_virtual_time() -> None:
    """The message names the limit that the call had, and not what an earlier attempt left of it."""
    client, _ = scripted([late(3.0, HttpResponse(503)), late(9.0, HttpResponse(200))])
    with pytest.raises(TimeoutError) as caught:
        client.get(URL, total_timeout=4.0)
    expected = (
        f"the deadline expired during the attempt, 4 s after the call began: no complete response from {URL}"
    )
    assert str(caught.value) == expected


def test_an_attempt_timeout_after_a_redirect_names_the_whole_limit() -> None:
    """Not what the first hop left of it."""
    redirect = HttpResponse(302, headers={"Location": "/there"})
    client, _ = scripted([late(3.0, redirect), late(9.0, HttpResponse(200))])
    with pytest.raises(AttemptTimeoutError, match=r"no complete response from \S+/there within 5 s$"):
        client.get(URL, timeout=5.0, retry_policy=None)


@pytest.mark.parametrize("latency", [-1, "1", None, float("nan")])
def test_a_latency_must_be_a_number_of_seconds(latency: Any) -> None:
    """The error is raised where the script is made, not in the call."""
    with pytest.raises(ValueError, match="latency must be a finite number of seconds of 0 or more"):
        late(latency, HttpResponse(200))


def test_a_script_needs_outcomes() -> None:
    """An empty script and an entry that is not an outcome are errors."""
    with pytest.raises(ValueError, match=r"HttpResponse\(200\)"):
        ScriptedTransport([])
    with pytest.raises(TypeError, match="503"):
        scripted([503])[0].get(URL)


def test_each_exchange_has_a_copy_of_the_scripted_response() -> None:
    """An interceptor that changes one does not change the next."""
    client, _ = scripted(HttpResponse(200, headers={"X-A": "1"}))
    client.get(URL).headers["X-A"] = "2"
    assert client.get(URL).headers["X-A"] == "1"


def test_the_kit_imports_no_http_library() -> None:
    """A test that fakes the network needs none."""
    script = "import sys, http_service_client.testing; print({'requests', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("latency", "slept"), [(0, []), (2.5, [2.5])])
@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_clock_only_a_late_outcome_sleeps(
    latency: float, slept: list[float], is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it is late."""
    seconds: list[float] = []

    async def sleep(given: float) -> None:
        seconds.append(given)

    monkeypatch.setattr(scripted_transport, "time", SimpleNamespace(sleep=seconds.append))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    transport = ScriptedTransport([late(latency, HttpResponse(200))])
    request = HttpRequest("GET", "https://a.test/")
    if is_async:
        coroutine = transport.send_async(request, Timeout())
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        response = ended.value.value
    else:
        response = transport.send(request, Timeout())
    assert seconds == slept
    assert (response.status_code, response.elapsed) == (200, latency)


@each_row(
    ("timeout", "seconds", "error"),
    [
        (Timeout(), 5.0, None),
        (Timeout(total=5.0, read=5.0), 5.0, None),
        (Timeout(total=4.0, read=5.0), 4.0, "AttemptTimeoutError"),
        (Timeout(total=5.0, read=4.0), 4.0, "ReadTimeoutError"),
        (Timeout(total=5.0, read=4.0, first_byte=5.0), 5.0, None),
        (Timeout(total=5.0, first_byte=4.0), 4.0, "ReadTimeoutError"),
        (Timeout(total=4.0, read=4.0), 4.0, "AttemptTimeoutError"),
        (Timeout(read=4.0, between=5.0), 4.0, "ReadTimeoutError"),
    ],
)
def test_the_first_limit_ends_a_late_outcome(timeout: Timeout, seconds: float, error: str | None) -> None:
    """Of the attempt, or of the wait for the head; at the very limit it is in time. Latencies add up."""
    clock = SimpleNamespace(elapsed=[])
    clock.elapse = clock.elapsed.append
    transport = ScriptedTransport([late(2.0, late(3.0, HttpResponse(200)))], clock=clock)
    outcome = transport.send(HttpRequest("GET", "https://a.test/"), timeout)
    assert clock.elapsed == [seconds]
    assert (outcome.error_type.__name__ if isinstance(outcome, Failure) else None) == error
