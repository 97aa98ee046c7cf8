"""`ResilientAdapter`: what a session of requests sees of the policies."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Retry, Timeout

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    SentState,
    deadline,
)
from http_service_client.integrations import ResilientAdapter, explain
from http_service_client.testing import LoopbackServer, VirtualClock, reset, respond, stall


@pytest.fixture
def client() -> Iterator[HttpServiceClient]:
    with HttpServiceClient(clock=VirtualClock()) as client:
        yield client


@pytest.fixture
def session(client: HttpServiceClient) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", ResilientAdapter(client=client))
        yield session


DOWN = respond(503, body="down")


def test_the_response_is_that_of_requests(server: LoopbackServer, session: requests.Session) -> None:
    """After two failures, with its story."""
    server.script("/", DOWN, reset(), respond(200, body="up"))
    response = session.get(server.url)
    assert (type(response), response.text) == (requests.Response, "up")
    assert (
        explain(response)
        .splitlines()[-1]
        .endswith("done: 200 after 3 attempts; one without a complete response may have been processed, too")
    )


def test_a_stream_is_left_unread(server: LoopbackServer, session: requests.Session) -> None:
    """Also that of the last of some failures."""
    server.script("/", DOWN)
    with session.get(server.url, stream=True) as response:
        assert response.status_code == 503
        assert response.raw.read() == b"down"


def test_an_error_that_is_being_handled_is_not_that_of_the_attempt(
    server: LoopbackServer, session: requests.Session
) -> None:
    """A request that was sent would be taken for one that was not, and sent again."""
    server.script("/", reset())
    handled = ConnectionRefusedError()
    try:
        raise handled
    except ConnectionRefusedError:
        with pytest.raises(requests.ConnectionError) as caught:
            session.post(server.url)
    assert handled.__traceback__ is not None
    assert caught.value.sent_state is SentState.MAYBE_PROCESSED
    assert len(server.requests) == 1


def test_the_connections_are_closed_with_the_session(
    server: LoopbackServer, session: requests.Session
) -> None:
    """As with any adapter; the client that it shares goes on."""
    server.script("/", respond(200))
    session.get(server.url)
    assert server.open_connections == 1
    session.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_the_last_error_is_that_of_requests(server: LoopbackServer, session: requests.Session) -> None:
    """As it is, with the timeline and the sent state of the call; it can be pickled."""
    server.script("/", reset())
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(server.url)
    error: Any = caught.value
    assert type(error) is requests.ConnectionError
    assert (error.sent_state, error.request.url) == (SentState.MAYBE_PROCESSED, f"{server.url}/")
    assert explain(pickle.loads(pickle.dumps(error))) == explain(error)
    assert "attempt 3" in explain(error)


def test_our_errors_are_those_of_requests_too(server: LoopbackServer, session: requests.Session) -> None:
    """A circuit that is open is a connection error for code that knows requests only."""
    client = HttpServiceClient(
        HttpClientConfig(circuit_breaker_config={"failure_threshold": 1}, enable_retry_policy=False)
    )
    session.mount("http://", ResilientAdapter(client=client))
    server.script("/", DOWN)
    assert session.get(server.url).status_code == 503
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(server.url)
    error = caught.value
    assert isinstance(error, CircuitOpenError)
    assert error.sent_state is SentState.NEVER_SENT
    assert error.retry_after is not None
    assert isinstance(error.request, requests.PreparedRequest)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retry_after) == (type(error), str(error), error.retry_after)
    assert copy.request is None
    assert list(client.get_circuit_breaker_states()) == [server.url]


def test_a_deadline_is_a_timeout(server: LoopbackServer) -> None:
    """The ambient one bounds each read."""
    server.script("/", stall())
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter())
        with deadline(0.1), pytest.raises(requests.Timeout) as caught:
            session.get(server.url)
    assert isinstance(caught.value, DeadlineExceededError)
    assert caught.value.sent_state is SentState.ABANDONED
    assert isinstance(caught.value.__cause__, requests.ReadTimeout)


def test_the_smaller_timeout_holds(server: LoopbackServer, session: requests.Session) -> None:
    """That of the session's caller, where it is below the attempt's."""
    server.script("/", stall(), respond(200))
    assert session.get(server.url, timeout=(5, 0.1)).status_code == 200


def test_a_generator_is_sent_once(server: LoopbackServer, session: requests.Session) -> None:
    """What has been read of it is gone."""
    server.script("/", DOWN)
    assert session.put(server.url, data=iter([b"one ", b"shot"])).status_code == 503
    assert [request.body for request in server.requests] == [b"one shot"]


def test_a_file_is_rewound(server: LoopbackServer, session: requests.Session) -> None:
    """To where it was when the session got it."""
    server.script("/", DOWN, respond(200))
    file = io.BytesIO(b"header,body")
    file.seek(7)
    assert session.put(server.url, data=file).status_code == 200
    assert [request.body for request in server.requests] == [b"body", b"body"]


@pytest.mark.parametrize("retries", [1, 3, Retry(total=2), Retry(total=None), Retry(total=None, connect=2)])
def test_retries_of_urllib3_are_refused(retries: Any) -> None:
    """They would multiply with ours: as an argument, assigned, or of the adapter inside."""
    with pytest.raises(ConfigurationError, match="max_attempts"):
        ResilientAdapter(max_retries=retries)
    with pytest.raises(ConfigurationError, match="max_attempts"):
        ResilientAdapter().max_retries = retries
    with pytest.raises(ConfigurationError, match="max_attempts"):
        ResilientAdapter(adapter=HTTPAdapter(max_retries=retries))


@pytest.mark.parametrize("retries", [0, False, Retry(0), Retry(False), Retry(total=0, connect=2)])
def test_no_retries_of_urllib3_are_none(retries: Any) -> None:
    """However they are written."""
    ResilientAdapter(max_retries=retries).close()
    ResilientAdapter(adapter=HTTPAdapter(max_retries=retries)).close()


@pytest.mark.parametrize("retries", [1, True])
def test_an_adapter_s_own_retries_are_refused_however_it_has_them(retries: Any) -> None:
    """It may have a number in place of urllib3's object."""
    adapter = HTTPAdapter()
    adapter.max_retries = retries
    with pytest.raises(ConfigurationError, match="max_attempts"):
        ResilientAdapter(adapter=adapter)


def test_a_retry_policy_around_is_in_charge(server: LoopbackServer, session: requests.Session) -> None:
    """The adapter makes one attempt for each of the policy's."""
    server.script("/", DOWN)
    policy = RetryPolicy(max_attempts=2, clock=VirtualClock())
    assert policy.call(session.get, server.url).status_code == 503
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"proxy": "http://proxy:8080"},
        {"max_connections": 5},
        {"default_headers": {"X": "1"}},
    ],
)
def test_settings_that_requests_owns_are_refused(settings: Any) -> None:
    """They would do nothing."""
    message = f"^{next(iter(settings))} does nothing in ResilientAdapter: requests decides"
    with pytest.raises(ConfigurationError, match=message):
        ResilientAdapter(HttpClientConfig(**settings))


def test_a_session_can_be_pickled(server: LoopbackServer) -> None:
    """With the configuration that its adapter has now; not one that shares a client."""
    server.script("/", respond(200))
    with requests.Session() as session:
        adapter = ResilientAdapter(HttpClientConfig(base_timeout=5.0))
        adapter.client.reconfigure(HttpClientConfig(base_timeout=3.0))
        session.mount("http://", adapter)
        with pickle.loads(pickle.dumps(session)) as copy:
            assert copy.get(server.url).status_code == 200
            assert copy.adapters["http://"].client.config.base_timeout == 3.0
    with HttpServiceClient() as client, pytest.raises(TypeError, match="shares a client"):
        pickle.dumps(ResilientAdapter(client=client))


def never(request: object) -> bool:
    return False


def test_a_pickled_adapter_has_the_settings_of_its_own() -> None:
    """The adapter that sends, and what is idempotent."""
    adapter = ResilientAdapter(adapter=HTTPAdapter(pool_maxsize=7), idempotent=never)
    copy: Any = pickle.loads(pickle.dumps(adapter))
    assert (copy._calls.idempotent, copy._adapter._pool_maxsize) == (never, 7)


class Pieces:
    """An iterable that begins from its start each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one ", b"two"])


class Pipe:
    """A file that cannot be rewound."""

    def __init__(self) -> None:
        self._left = [b"content"]

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._left)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("text", [b"text"] * 2),
        (Pieces(), [b"one two"] * 2),
        (Pipe(), [b"content"]),
        ({"field": "form"}, [b"field=form"] * 2),
    ],
    ids=["text", "an iterable", "a pipe", "a form"],
)
def test_what_begins_from_its_start_is_sent_again(
    server: LoopbackServer, session: requests.Session, body: Any, sent: list[bytes]
) -> None:
    """And nothing else."""
    server.script("/", DOWN, respond(200))
    session.put(server.url, data=body)
    assert [request.body for request in server.requests] == sent


def test_headers_may_be_bytes(server: LoopbackServer, session: requests.Session) -> None:
    """Some libraries for OAuth set such a key."""
    server.script("/", respond(500), respond(200))
    prepared = session.prepare_request(requests.Request("POST", server.url))
    prepared.headers["Idempotency-Key"] = b"order-7"  # type: ignore[assignment]
    assert session.send(prepared).status_code == 200


@pytest.mark.parametrize("timeout", [0.1, (None, 0.1), Timeout(read=0.1), Timeout(total=0.1)])
def test_timeouts_of_the_session(server: LoopbackServer, timeout: Any) -> None:
    """In each form that requests takes."""
    server.script("/", stall())
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(HttpClientConfig(enable_retry_policy=False)))
        with pytest.raises(requests.ReadTimeout):
            session.get(server.url, timeout=timeout)
        with pytest.raises(ValueError, match="Invalid timeout"):
            session.get(server.url, timeout=(1, 2, 3))


def test_an_attempt_cuts_the_timeout_of_the_session(server: LoopbackServer) -> None:
    """Whatever its form."""
    server.script("/", stall())
    config = HttpClientConfig(base_timeout=0.1, enable_retry_policy=False)
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(config))
        for timeout in (60, Timeout(connect=60, read=60), None):
            with pytest.raises(requests.ReadTimeout):
                session.get(server.url, timeout=timeout)


def test_each_redirect_has_a_story(server: LoopbackServer, session: requests.Session) -> None:
    """requests follows them, so each is a call."""
    server.script("/", DOWN, respond(302, headers={"Location": "/next"}))
    server.script("/next", DOWN, respond(200))
    story = explain(session.get(server.url))
    assert [line for line in story.splitlines() if line.startswith("GET")] == [
        f"GET {server.url}/",
        f"GET {server.url}/next",
    ]


class Elsewhere(BaseAdapter):
    """An adapter for URLs that a client of ours could not call."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def send(self, request: Any, **options: Any) -> requests.Response:
        raise requests.ConnectionError("nobody is there")

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http+docker://localhost/v1", "http://http-docker.localhost.invalid"),
        ("ssh+x://[::1", "http://ssh-x.1.invalid"),
        ("x://", "http://x.unknown.invalid"),
    ],
)
def test_any_scheme_has_state(client: HttpServiceClient, url: str, origin: str) -> None:
    """Under a name that no host has. The adapter that sends is closed with the session."""
    inner = Elsewhere()
    adapter = ResilientAdapter(client=client, adapter=inner)
    prepared = requests.PreparedRequest()
    prepared.method, prepared.url, prepared.headers = "GET", url, requests.structures.CaseInsensitiveDict()
    with pytest.raises(requests.ConnectionError, match="nobody"):
        adapter.send(prepared)
    assert list(client.get_circuit_breaker_states()) == [origin]
    adapter.close()
    assert inner.is_closed


@pytest.mark.parametrize("adapter", [object(), ResilientAdapter()])
def test_what_cannot_send_is_refused(adapter: Any) -> None:
    """One that is no adapter, and one with policies of its own."""
    with pytest.raises(ConfigurationError, match="adapter"):
        ResilientAdapter(adapter=adapter)


def test_an_error_of_both_can_be_redacted(server: LoopbackServer, session: requests.Session) -> None:
    """Its copy has no request."""
    session.adapters["http://"].client.close()  # type: ignore[attr-defined]
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(server.url)
    error: Any = caught.value
    copy = error.redacted()
    assert (type(copy), str(copy), copy.request) == (type(error), str(error), None)
