"""`ResilientAdapter`: what it makes of the requests, the bodies and the responses of a session, and of another adapter."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.auth import HTTPDigestAuth
from urllib3 import HTTPHeaderDict
from urllib3 import Timeout as Urllib3Timeout

from http_service_client import (
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    SentState,
    Timeout,
)
from http_service_client.events import AttemptFinished
from http_service_client.integrations import ResilientAdapter, explain

AT_ONCE = HttpClientConfig(retry_policy_config=RetryPolicy(3, ConstantBackoff(0.0, jitter="none")))


class Scripted(BaseAdapter):
    """Another adapter, beneath ours: it has a response for each attempt."""

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self.bodies = [io.BytesIO(b"body") for _ in statuses]
        self._script = iter(zip(statuses, self.bodies, strict=True))
        self.has_closed = False
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw = next(self._script)
        response.request, response.url = request, str(request.url)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Digest realm="r", nonce="n", qop="auth"'
        self.sent.append(request)
        return response

    def close(self) -> None:
        self.has_closed = True


@pytest.mark.parametrize("statuses", [(200,), (503, 200), (503, 503, 200), (503, 503, 503)])
def test_requests_gets_back_the_connections_of_all_responses_but_the_last(statuses: tuple[int, ...]) -> None:
    """Which its caller reads, or closes."""
    adapter = Scripted(*statuses)
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(AT_ONCE, adapter=adapter))
        response = session.get("http://a.test/", stream=True)
        assert response.status_code == statuses[-1]
        assert [body.closed for body in adapter.bodies] == [True] * (len(statuses) - 1) + [False]
        response.close()
    assert adapter.bodies[-1].closed
    assert adapter.has_closed


def session_with(adapter: ResilientAdapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    return session


def test_the_second_request_of_digest_authentication_is_a_call_too() -> None:
    """requests sends it by the adapter that it finds at the response."""
    inner = Scripted(503, 401, 503, 200)
    with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session:
        response = session.get("http://a.test/", auth=HTTPDigestAuth("u", "p"))
    assert response.status_code == 200
    assert [request.headers.get("Authorization") is not None for request in inner.sent] == [
        False,
        False,
        True,
        True,
    ]
    assert explain(response).count("attempt 2: 200") == 1


def test_the_request_of_a_caller_remains_as_it_is() -> None:
    """A header that is added for a call is that of a copy."""
    inner = Scripted(503, 200)
    config = HttpClientConfig(retry_policy_config=AT_ONCE.retry_policy_config, auto_idempotency_key=True)
    with session_with(ResilientAdapter(config, adapter=inner)) as session:
        prepared = session.prepare_request(requests.Request("POST", "http://a.test/", data=b"x"))
        assert session.send(prepared).status_code == 200
    assert "Idempotency-Key" not in prepared.headers
    keys = {request.headers["Idempotency-Key"] for request in inner.sent}
    assert (len(inner.sent), len(keys)) == (2, 1)


@pytest.mark.parametrize(
    ("data", "content"),
    [(None, b""), ("text", b"text"), (b"bytes", b"bytes"), (io.BytesIO(b"file"), None)],
    ids=["none", "text", "bytes", "file"],
)
def test_whoever_judges_a_request_sees_its_body(data: Any, content: bytes | None) -> None:
    """If it is in memory."""
    seen: list[Any] = []

    def idempotent(request: HttpRequest) -> None:
        seen.append(request.body.content)

    with session_with(ResilientAdapter(AT_ONCE, adapter=Scripted(200), idempotent=idempotent)) as session:
        session.post("http://a.test/", data=data)
    assert seen == [content]


def test_a_file_that_fails_when_it_is_rewound_is_not_sent() -> None:
    """Its error is the caller's to see."""

    class Fails(io.BytesIO):
        count = 0

        def seek(self, *arguments: Any) -> int:
            self.count += 1
            if self.count > 1:
                raise TimeoutError("the disk is gone")
            return super().seek(*arguments)

    inner = Scripted(200, 200, 200)
    file = Fails(b"x")
    prepared = requests.Request("POST", "http://a.test/").prepare()
    prepared.body = file  # as by `data`, of which requests itself would look for the length
    with (
        session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session,
        pytest.raises(TimeoutError) as caught,
    ):
        session.send(prepared)
    assert str(caught.value) == "the disk is gone"
    assert inner.sent == []


def test_an_adapter_that_was_pickled_names_itself() -> None:
    """Where a setting of its client would do nothing."""
    adapter = pickle.loads(pickle.dumps(ResilientAdapter(AT_ONCE)))
    with pytest.raises(
        ConfigurationError, match=r"^max_connections does nothing in ResilientAdapter: requests decides"
    ):
        adapter.client.reconfigure(HttpClientConfig(max_connections=5))


def test_retries_of_urllib3_are_errors_by_name() -> None:
    """Those of the adapter, and of one beneath it."""
    with pytest.raises(ConfigurationError, match=r"^max_retries must be 0, not 3"):
        ResilientAdapter(AT_ONCE).max_retries = 3  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=r"^adapter\.max_retries must be 0, not Retry"):
        ResilientAdapter(AT_ONCE, adapter=requests.adapters.HTTPAdapter(max_retries=3))


class Broken(io.BytesIO):
    """A body whose connection is lost while it is read."""

    def read(self, *arguments: Any) -> bytes:
        raise ConnectionResetError


def test_a_response_that_cannot_be_read_gives_its_connection_back() -> None:
    """The attempt has failed, and another one is made."""
    inner = Scripted(200, 200)
    inner.bodies[0] = Broken(b"body")
    inner._script = iter(zip((200, 200), inner.bodies, strict=True))
    with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session:
        assert session.get("http://a.test/").content == b"body"
    assert inner.bodies[0].closed


@pytest.mark.parametrize(
    "body", [bytearray(b"x"), memoryview(b"x"), io.StringIO("x")], ids=lambda each: type(each).__name__
)
def test_a_body_whose_type_urllib3_looks_at_is_passed_on_as_it_is(body: Any) -> None:
    """It is no iterable of pieces to it."""
    inner = Scripted(200)
    prepared = requests.Request("POST", "http://a.test/").prepare()
    prepared.body = body
    with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session:
        session.send(prepared)
    assert inner.sent[0].body is body


def pieces() -> Any:
    yield b"x"


def test_a_response_has_the_request_that_was_given() -> None:
    """Though a copy was sent, whose body is watched."""
    inner = Scripted(200)
    with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session:
        prepared = session.prepare_request(requests.Request("POST", "http://a.test/", data=pieces()))
        assert session.send(prepared).request is prepared
    assert inner.sent[0] is not prepared


def test_an_error_has_the_request_that_was_given() -> None:
    """As its response would."""

    class Down(Scripted):
        def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> Any:
            raise requests.ConnectionError("it is down", request=request)

    with session_with(ResilientAdapter(AT_ONCE, adapter=Down())) as session:
        prepared = session.prepare_request(requests.Request("POST", "http://a.test/", data=pieces()))
        with pytest.raises(requests.ConnectionError) as caught:
            session.send(prepared)
    assert caught.value.request is prepared


class Raw(io.BytesIO):
    """As urllib3's, with the headers as they came."""

    def __init__(self, headers: HTTPHeaderDict) -> None:
        super().__init__(b"body")
        self.headers = headers


@pytest.mark.parametrize(
    ("has_raw", "stream", "expected"),
    [
        (True, True, ([("X-Tag", "a"), ("X-Tag", "b")], b"")),
        (True, False, ([("X-Tag", "a"), ("X-Tag", "b")], b"body")),
        (False, True, ([("X-Tag", "a, b")], b"")),
    ],
)
def test_whoever_judges_a_response_sees_what_came(has_raw: bool, stream: bool, expected: Any) -> None:
    """Its headers one by one, if they are known so; its body, if it is read; a reason, if it has one."""
    seen: list[Any] = []
    elapsed: list[Any] = []

    def judges(response: HttpResponse) -> bool:
        seen.append((response.headers.multi_items(), response.content, response.reason_phrase))
        elapsed.append(response.elapsed)
        return False

    class Tagged(Scripted):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            response = super().send(*arguments, **options)
            response.headers["X-Tag"] = "a, b"
            if has_raw:
                response.raw = Raw(HTTPHeaderDict([("X-Tag", "a"), ("X-Tag", "b")]))
            return response

    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(judges)])
    config = HttpClientConfig(retry_policy_config=policy)
    with session_with(ResilientAdapter(config, adapter=Tagged(503))) as session:
        session.get("http://a.test/", stream=stream)
    assert seen[0] == (*expected, "")
    assert 0 <= elapsed[0] < 60


class Failing(Scripted):
    """It fails by an error of its library, after it has read the body or before."""

    def __init__(self, error: Exception, *, reads: bool = False) -> None:
        super().__init__()
        self._error, self._reads = error, reads

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> Any:
        self.sent.append(request)
        if self._reads:
            try:
                for piece in request.body:  # type: ignore[union-attr]
                    assert piece == b"x"
            except OSError as error:
                raise self._error from error
        raise self._error


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (requests.ConnectTimeout("no connection"), 3),
        (requests.ReadTimeout("no response"), 1),
        (requests.exceptions.ProxyError("no tunnel"), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_body_that_is_read_once_is_sent_again_if_nothing_of_it_was_read(
    error: Exception, attempts: int
) -> None:
    """As while no connection was made: the library has not looked at it then."""
    for data, count in ((pieces(), attempts), (b"in memory", 3)):
        inner = Failing(error)
        with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session, pytest.raises(type(error)):
            session.put("http://a.test/", data=data)
        assert len(inner.sent) == count


def test_a_body_that_cannot_be_decoded_is_that_of_an_answer() -> None:
    """It is no error of the exchange, and the response says how the call went."""
    inner = Failing(requests.exceptions.ContentDecodingError("no gzip"))
    adapter = ResilientAdapter(HttpClientConfig(enable_retry_policy=False), adapter=inner)
    with (
        session_with(adapter) as session,
        pytest.raises(requests.exceptions.ContentDecodingError) as caught,
    ):
        session.get("http://a.test/")
    (attempt,) = (each for each in caught.value.timeline if isinstance(each, AttemptFinished))  # type: ignore[attr-defined]
    assert (attempt.error, attempt.sent_state) == ("DecodingError", SentState.ANSWERED)


def test_the_error_of_a_body_s_source_is_raised_as_the_library_has_it() -> None:
    """And nothing is sent again."""

    def broken() -> Any:
        yield b"x"
        raise OSError("the disk is gone")

    inner = Failing(requests.ConnectionError("while sending"), reads=True)
    with (
        session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session,
        pytest.raises(requests.ConnectionError) as caught,
    ):
        session.put("http://a.test/", data=broken())
    assert str(caught.value) == "while sending"
    assert str(caught.value.__cause__) == "the disk is gone"
    assert len(inner.sent) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_response_that_has_no_body_is_judged_as_an_empty_one(stream: bool) -> None:
    """As some adapters make it, for tests."""
    seen: list[bytes] = []

    def judges(response: HttpResponse) -> bool:
        seen.append(response.content)
        return False

    class Bare(Scripted):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            response = super().send(*arguments, **options)
            response.raw = None
            return response

    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(judges)])
    config = HttpClientConfig(retry_policy_config=policy)
    with session_with(ResilientAdapter(config, adapter=Bare(503))) as session:
        session.get("http://a.test/", stream=stream)
    assert seen == [b""]


def test_a_body_that_only_the_adapter_beneath_understands_is_sent_once() -> None:
    """It is neither a file nor an iterable."""
    inner = Scripted(503, 200)
    prepared = requests.Request("PUT", "http://a.test/").prepare()
    prepared.body = object()  # type: ignore[assignment]
    with session_with(ResilientAdapter(AT_ONCE, adapter=inner)) as session:
        assert session.send(prepared).status_code == 503
    assert len(inner.sent) == 1


CALL = Timeout(connect=3.0, read=4.0)


@pytest.mark.parametrize(
    ("ours", "given", "connect", "read"),
    [
        (CALL, None, 3.0, 4.0),
        (CALL, 1.0, 1.0, 1.0),
        (CALL, 9, 3.0, 4.0),
        (CALL, (1.0, None), 1.0, 4.0),
        (CALL, (None, 1.0), 3.0, 1.0),
        (CALL, (9.0, 9.0), 3.0, 4.0),
        (CALL, Urllib3Timeout(connect=1.0), 1.0, 4.0),
        (CALL, Urllib3Timeout(read=1.0), 3.0, 1.0),
        (CALL, Urllib3Timeout(connect=9.0, read=9.0), 3.0, 4.0),
        (Timeout(), None, None, None),
        (Timeout(), 1.0, 1.0, 1.0),
        (Timeout(), (9.0, 7.0), 9.0, 7.0),
        (Timeout(), Urllib3Timeout(read=7.0), None, 7.0),
    ],
    ids=str,
)
def test_the_smaller_limit_of_the_call_and_of_the_session_holds(
    ours: Timeout, given: Any, connect: float | None, read: float | None
) -> None:
    """To connect, and for each read."""
    limits: list[Any] = []

    class Timed(Scripted):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            limits.append(options["timeout"])
            return super().send(*arguments, **options)

    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=None))
    with HttpServiceClient(config) as client:
        adapter = ResilientAdapter(client=client.with_options(timeout=ours), adapter=Timed(200))
        with session_with(adapter) as session:
            session.get("http://a.test/", timeout=given)
    (limit,) = limits
    assert (limit.total, limit.connect_timeout) == (None, connect)
    limit.start_connect()
    assert limit.read_timeout == read


def test_a_flag_is_no_timeout() -> None:
    """Though it is a number to Python; requests refuses it, too."""
    with session_with(ResilientAdapter()) as session, pytest.raises(ValueError, match="not True"):
        session.get("http://127.0.0.1:1/", timeout=True)


def test_a_call_that_is_interrupted_gives_its_connection_back() -> None:
    """Between two attempts, nobody else has the response."""

    def interrupts(response: HttpResponse) -> bool:
        raise KeyboardInterrupt

    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(interrupts)])
    inner = Scripted(503, 200)
    adapter = ResilientAdapter(HttpClientConfig(retry_policy_config=policy), adapter=inner)
    with session_with(adapter) as session:
        with pytest.raises(KeyboardInterrupt):
            session.get("http://a.test/", stream=True)
        assert [body.closed for body in inner.bodies] == [True, False]


def test_a_response_that_ended_in_an_error_of_ours_gives_its_connection_back() -> None:
    """Nobody else has it."""
    chaos = {"errors": ["ReadTimeoutError"], "error_rate": 1.0}
    inner = Scripted(200)
    adapter = ResilientAdapter(HttpClientConfig(chaos=chaos, enable_retry_policy=False), adapter=inner)
    with session_with(adapter) as session:
        with pytest.raises(requests.ReadTimeout):
            session.get("http://a.test/", stream=True)
        assert inner.bodies[0].closed


@pytest.mark.parametrize("limit", [10.0, None])
def test_to_discard_the_response_before_it_takes_of_an_attempt_s_time(limit: float | None) -> None:
    """The first attempt has all of it."""
    given: list[Any] = []

    class Timed(Scripted):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            given.append(options["timeout"].total)
            return super().send(*arguments, **options)

    pool = ConnectionPoolConfig(request_timeout=limit)
    config = HttpClientConfig(connection_pool=pool, retry_policy_config=AT_ONCE.retry_policy_config)
    with session_with(ResilientAdapter(config, adapter=Timed(503, 503, 200))) as session:
        session.get("http://a.test/", stream=True).close()
    first, *others = given
    assert first == limit
    for other in others:
        assert other is None if limit is None else 5.0 < other < limit
