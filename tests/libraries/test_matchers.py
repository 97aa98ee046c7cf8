"""Matchers of responses and requests-mock see the same of our requests as of those that requests sends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import requests_mock
import responses
from responses import matchers

from http_service_client import HttpServiceClient

URL = "https://payments.test/charges"


@pytest.fixture
def client() -> Iterator[HttpServiceClient]:
    """A client with default settings."""
    with HttpServiceClient() as client:
        yield client


@responses.activate
@pytest.mark.parametrize(
    ("matcher", "matching", "other"),
    [
        (
            matchers.json_params_matcher({"order": 42, "tags": ["a"]}),
            {"json": {"tags": ["a"], "order": 42}},
            {"json": {"order": 43}},
        ),
        (
            matchers.urlencoded_params_matcher({"order": "42", "note": "a b&c"}),
            {"data": {"order": 42, "note": "a b&c"}},
            {"data": {"order": 43}},
        ),
        (
            matchers.query_param_matcher({"page": 2, "q": "a b"}),
            {"params": {"page": 2, "q": "a b"}},
            {"params": {"page": 3}},
        ),
        (matchers.query_string_matcher("page=2"), {"params": {"page": 2}}, {}),
        (
            matchers.header_matcher({"Idempotency-Key": "42", "Authorization": "Bearer token"}),
            {"headers": {"Idempotency-Key": "42"}, "auth": "token"},
            {"auth": "token"},
        ),
        (matchers.request_kwargs_matcher({"stream": True, "verify": True}), {}, None),
    ],
    ids=["json", "form", "query", "query string", "headers", "keywords"],
)
def test_matchers_of_responses(
    client: HttpServiceClient, matcher: Any, matching: dict[str, Any], other: dict[str, Any] | None
) -> None:
    """Each matcher accepts a request that matches and rejects another."""
    responses.post(URL, status=201, match=[matcher])
    assert client.post(URL, **matching).status_code == 201
    if other is not None:
        with pytest.raises(ConnectionError):
            client.post(URL, retry_policy=False, **other)


@responses.activate
def test_the_multipart_matcher(client: HttpServiceClient) -> None:
    """It compares files and fields, with any boundary. It needs each file's content type, which we always send."""
    files = {"report": ("report.txt", b"all well", "text/plain")}
    responses.post(URL, match=[matchers.multipart_matcher(files, {"order": "42"})])
    assert client.post(URL, files=files, data={"order": 42}).is_success
    with pytest.raises(ConnectionError):
        client.post(URL, files=files, data={"order": 43}, retry_policy=False)


@responses.activate
def test_a_callback_of_responses_sees_the_request(client: HttpServiceClient) -> None:
    """The callback gets a `PreparedRequest`, and `calls` keeps it with its response."""

    def charge(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        sent = json.loads(request.body or b"")
        return 201, {"X-Amount": str(sent["amount"])}, json.dumps(sent)

    responses.add_callback("POST", re.compile(r"https://payments\.test/.*"), callback=charge)
    response = client.post(URL, json={"amount": 25}, headers={"Idempotency-Key": "order-42"})
    assert (response.json(), response.headers["X-Amount"]) == ({"amount": 25}, "25")
    assert responses.calls[0].request.headers["Idempotency-Key"] == "order-42"


@responses.activate
@pytest.mark.parametrize(
    ("method", "ours", "theirs"),
    [
        ("GET", {}, {}),
        ("POST", {}, {}),
        ("POST", {"data": {"order": 42, "note": "a b&c"}}, {"data": {"order": 42, "note": "a b&c"}}),
        ("PUT", {"data": b"\0"}, {"data": b"\0"}),
    ],
    ids=["no content", "no body", "form", "bytes"],
)
def test_a_request_is_prepared_as_requests_prepares_it(
    client: HttpServiceClient, method: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    """What it consists of is the same, and an event that a library hooks into then is there."""
    responses.add(method, URL)
    client.request(method, URL, **ours)
    with requests.Session() as session:
        session.request(method, URL, **theirs)
    seen, expected = (vars(call.request) for call in responses.calls)
    for name in ("method", "url", "body", "hooks", "_body_position"):
        assert seen[name] == expected[name], name
    assert seen["headers"].get("Content-Length") == expected["headers"].get("Content-Length")


@responses.activate(assert_all_requests_are_fired=True)
def test_an_ordered_registry_serves_each_attempt(client: HttpServiceClient) -> None:
    """The first attempt gets the first response, its retry the second."""
    responses.get(URL, status=429, headers={"Retry-After": "0"})
    responses.get(URL, json=[])
    assert client.get(URL, retry_policy=True).attempts == 2
    responses.assert_call_count(URL, 2)


def test_the_fixture_of_requests_mock_sees_the_request(
    requests_mock: requests_mock.Mocker, client: HttpServiceClient
) -> None:
    """`json`, `qs`, `headers` and `verify` are there, and an additional matcher can use them."""

    def is_small(request: Any) -> bool:
        return bool(request.json()["amount"] < 100)

    requests_mock.post(URL, status_code=402)
    requests_mock.post(URL, status_code=201, additional_matcher=is_small)
    assert client.post(URL, json={"amount": 25}, params={"dry": True}).status_code == 201
    assert client.post(URL, json={"amount": 250}).status_code == 402
    first, last = requests_mock.request_history
    assert (first.json(), first.qs, first.verify) == ({"amount": 25}, {"dry": ["true"]}, True)
    assert last.headers["Content-Type"] == "application/json"


def test_request_headers_and_a_callback_of_requests_mock(
    requests_mock: requests_mock.Mocker, client: HttpServiceClient
) -> None:
    """A mock for requests with a token, which returns the body that it received."""

    def echo(request: Any, context: Any) -> Any:
        context.status_code = 201
        return request.json()

    requests_mock.post(URL, request_headers={"Authorization": "Bearer token"}, json=echo)
    response = client.post(URL, auth="token", json={"amount": 25})
    assert (response.status_code, response.json()) == (201, {"amount": 25})


def test_one_mock_serves_the_client_and_requests() -> None:
    """A call of requests beside the client gets the same mock."""
    with requests_mock.Mocker() as mocked, HttpServiceClient() as client:
        mocked.get(URL, json=[1])
        assert client.get(URL).json() == requests.get(URL, timeout=5).json() == [1]
        assert mocked.call_count == 2
