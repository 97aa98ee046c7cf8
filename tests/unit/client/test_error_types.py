"""`error_type=`: the body of a 4xx or 5xx, decoded, on the response and on its error."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse, HttpStatusError
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

pytest.importorskip("pydantic")


@dataclass
class Declined:
    code: str
    retriable: bool = False


@dataclass
class Order:
    id: int


def answered(status: int, content: bytes) -> HttpResponse:
    return HttpResponse(status, content=content)


def test_the_body_of_an_error_is_decoded(front_end: FrontEnd) -> None:
    """As `data` of the response, and of the error that `raise_for_status` raises."""
    response = Harness(front_end, answered(402, b'{"code": "no funds"}')).request(
        response_type=Order, error_type=Declined
    )
    assert response.data == Declined("no funds")
    with pytest.raises(HttpStatusError) as caught:
        response.raise_for_status()
    assert caught.value.data == Declined("no funds")
    assert pickle.loads(pickle.dumps(caught.value)).data == Declined("no funds")
    assert caught.value.redacted().data is None


def test_a_success_is_of_its_own_type(front_end: FrontEnd) -> None:
    """`error_type` is for errors alone."""
    for options, data in (({"response_type": Order}, Order(7)), ({}, None)):
        harness = Harness(front_end, answered(200, b'{"id": 7}'))
        assert harness.request(error_type=Declined, **options).data == data


@each_row(("status", "has_data"), [(200, False), (399, False), (400, True), (599, True)])
def test_an_error_is_a_status_of_400_or_more(front_end: FrontEnd, status: int, has_data: bool) -> None:
    """Of a stream, too."""
    whole, streamed = (
        Harness(front_end, answered(status, b'{"code": "x"}'), enable_retry_policy=False) for _ in range(2)
    )
    expected = Declined("x") if has_data else None
    assert whole.request(error_type=Declined).data == expected
    with front_end.stream(
        streamed.client, "GET", "https://api.example.com/", error_type=Declined
    ) as response:
        assert response.data == expected


def test_an_error_without_a_type_needs_no_library(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pydantic is an extra."""
    monkeypatch.setattr("http_service_client.client.response_types.type_adapter", None)
    harness = Harness(front_end, answered(404, b"{}"))
    assert harness.request().data is None
    with front_end.stream(harness.client, "GET", "https://api.example.com/") as response:
        assert response.data is None


@each_row("content", [b"<html>Bad gateway</html>", b"", b'{"error": 1}'])
def test_a_body_of_another_kind_does_not_hide_the_status(front_end: FrontEnd, content: bytes) -> None:
    """`data` is None then, and the error is the usual one."""
    response = Harness(front_end, answered(404, content)).request(error_type=Declined)
    assert (response.status_code, response.data) == (404, None)
    with pytest.raises(HttpStatusError) as caught:
        response.raise_for_status()
    assert caught.value.data is None


def test_a_view_sets_it_for_all_calls(front_end: FrontEnd) -> None:
    """A call's own comes first."""
    harness = Harness(front_end, answered(402, b'{"code": "x"}'))
    view = harness.client.with_options(error_type=Declined)
    url = "https://api.example.com/"
    assert front_end.request(view, "GET", url).data == Declined("x")
    assert front_end.request(view, "GET", url, error_type=dict[str, str]).data == {"code": "x"}


def test_streams_and_downloads_have_it_too(front_end: FrontEnd, tmp_path: Any) -> None:
    """Their errors are read whole."""
    harness = Harness(front_end, answered(402, b'{"code": "x"}'))
    url = "https://api.example.com/"
    with front_end.stream(harness.client, "GET", url, error_type=Declined) as response:
        assert response.data == Declined("x")
    with pytest.raises(HttpStatusError) as caught:
        front_end.download(harness.client, url, tmp_path / "file", error_type=Declined)
    assert caught.value.data == Declined("x")


def test_a_wrong_type_is_an_error_at_once(front_end: FrontEnd) -> None:
    """Of a call before anything is sent; of a view when it is made."""
    harness = Harness(front_end, 200)
    wrong: Any = list["Nowhere"]  # type: ignore[name-defined] # noqa: F821
    with pytest.raises(ConfigurationError):
        harness.request(error_type=wrong)
    with pytest.raises(ConfigurationError):
        harness.client.with_options(error_type=wrong)
    assert harness.sends == 0
