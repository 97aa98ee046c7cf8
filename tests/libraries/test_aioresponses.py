"""What only aioresponses needs, and what only aioresponses can do."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aioresponses import CallbackResult, aioresponses, compat, core
from multidict import CIMultiDict

from http_service_client.testing import mend_aioresponses, mocks
from kit.front_ends import AsyncioFrontEnd, run_task

URL = "https://payments.test/charges"


@pytest.fixture
def unmended(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioresponses as it is installed, without our repair."""
    monkeypatch.setattr(core, "ClientResponse", aiohttp.ClientResponse)
    monkeypatch.setattr(core, "stream_reader_factory", compat.stream_reader_factory)


@pytest.mark.usefixtures("unmended")
def test_mending_lets_aioresponses_respond() -> None:
    """Without it, each response is a TypeError. When this test fails, `mend_aioresponses` is no longer needed."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, payload=[])
        mocked.get(URL, payload=[])
        with pytest.raises(TypeError, match="stream_writer"):
            front_end.request(front_end.client(), "GET", URL)
        assert mend_aioresponses() is True
        assert front_end.request(front_end.client(), "GET", URL).json() == []


@pytest.mark.usefixtures("unmended")
@pytest.mark.filterwarnings("ignore:ClientResponse.output_size is deprecated")
def test_a_mocked_request_has_written_nothing() -> None:
    """By aiohttp's own count, which its releases before 3.14 do not have."""
    mend_aioresponses()
    if not hasattr(aiohttp.ClientResponse, "output_size"):
        pytest.skip("this aiohttp counts nothing")

    async def written() -> int:
        with aioresponses() as mocked:
            mocked.get(URL)
            async with aiohttp.ClientSession() as session, session.get(URL) as response:
                return response.output_size

    assert run_task(written()) == 0


@pytest.mark.usefixtures("unmended")
def test_mending_twice_is_mending_once() -> None:
    """Every conftest may call it."""
    mend_aioresponses()
    mended = core.ClientResponse
    assert mend_aioresponses() is True
    assert core.ClientResponse is mended


class Working(aiohttp.ClientResponse):
    """As of a release of aioresponses that gives it what it needs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, stream_writer=SimpleNamespace(output_size=0), **options)


@pytest.mark.usefixtures("unmended")
def test_a_release_that_needs_no_mending_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And `mend_aioresponses` returns False, so that its caller can remove the call."""
    monkeypatch.setattr(core, "ClientResponse", Working)
    monkeypatch.setattr(core, "stream_reader_factory", mocks._endless_stream)
    assert mend_aioresponses() is False
    assert core.ClientResponse is Working


@pytest.mark.usefixtures("unmended")
def test_a_release_that_answers_with_short_bodies_alone_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long body asks a parser that does not exist to pause."""
    monkeypatch.setattr(core, "ClientResponse", Working)
    assert mend_aioresponses() is True
    assert core.stream_reader_factory is mocks._endless_stream


@pytest.mark.parametrize("size", [0, 100_000, 1_000_000])
def test_a_body_may_be_of_any_size(size: int) -> None:
    """Without the repair, more than 128 KiB is an AssertionError."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, body=bytes(size))
        assert len(front_end.request(front_end.client(), "GET", URL).content) == size


def test_plain_aiohttp_is_mended_too() -> None:
    """The repair is not only for our client."""

    async def call() -> Any:
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            return await response.json()

    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, payload={"id": 1})
        assert front_end.loop.run_until_complete(call()) == {"id": 1}


def test_timeout_true_is_a_timeout_of_the_attempt() -> None:
    """The error that `timeout=True` raises becomes our timeout, so a GET is retried."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, timeout=True)
        mocked.get(URL, payload=[])
        response = front_end.request(front_end.client(retry_policy_config={"initial_delay": 0}), "GET", URL)
        assert response.attempts == 2


def test_a_callback_sees_the_request_as_it_is_sent() -> None:
    """It gets the body as bytes and all headers, and its result is the response."""

    def charge(url: Any, *, data: bytes, headers: Any, **options: Any) -> CallbackResult:
        assert headers["Content-Type"] == "application/json"
        return CallbackResult(status=201, payload={"amount": json.loads(data)["amount"]})

    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.post(URL, callback=charge)
        response = front_end.request(front_end.client(), "POST", URL, json={"amount": 25})
    assert (response.status_code, response.json()) == (201, {"amount": 25})


def test_the_request_can_be_asserted() -> None:
    """`assert_called_with` and its like compare the arguments of `ClientSession._request`."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.post(URL, status=201)
        front_end.request(front_end.client(), "POST", URL, json={"amount": 25})
        mocked.assert_called_once()
        mocked.assert_called_with(URL, method="POST", args_to_match=["data"], data=b'{"amount":25}')
        with pytest.raises(AssertionError):
            mocked.assert_called_with(URL, method="POST", args_to_match=["data"], data=b'{"amount":26}')


def test_repeated_headers_stay_apart() -> None:
    """Each `Set-Cookie` becomes a cookie."""
    headers: CIMultiDict[str] = CIMultiDict([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, headers=headers)
        assert front_end.request(front_end.client(), "GET", URL).cookies == {"a": "1", "b": "2"}


def test_repeat_covers_every_attempt() -> None:
    """A mock that always fails gets as many requests as the policy makes attempts."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, status=503, repeat=True)
        client = front_end.client(retry_policy_config={"initial_delay": 0, "max_attempts": 4})
        assert front_end.request(client, "GET", URL).attempts == 4


def test_a_mocked_body_is_not_decoded_again() -> None:
    """aiohttp decodes below the method that is mocked, so a mocked body stands for the decoded one."""
    with AsyncioFrontEnd() as front_end, aioresponses() as mocked:
        mocked.get(URL, body=b"plain", headers={"Content-Encoding": "gzip"})
        assert front_end.request(front_end.client(), "GET", URL).content == b"plain"
