"""What `help()` and an editor show of the verbs: every keyword, with its unit, alike for all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from http_service_client import HttpRequest, HttpResponse, HttpServiceClient
from http_service_client.client.call_builder import CallBuilder
from http_service_client.client.config.defaults import CLIENT_DEFAULT
from http_service_client.client.keywords import RequestOptions, SendOptions, StreamRequestOptions
from kit.rows import each_row

VERBS = ["get", "post", "put", "patch", "delete", "head", "options", "query"]
BOTH = ["", "_async"]

FIELD = re.compile(r"^((?:\w+, )*\w+): (.*)$")


def documented(method: Callable[..., Any]) -> dict[str, str]:
    """The keywords in a docstring, each with its meaning."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(method.__doc__ or "").splitlines():
        for part in re.split(r"(?<=\.) {3}(?=\w+: )", line):
            if field := FIELD.match(part):
                names = field[1].split(", ")
                meanings.update(dict.fromkeys(names, field[2]))
            elif part.startswith("    "):
                meanings.update({name: f"{meanings[name]} {part.strip()}" for name in names})
    return meanings


EXPLAINED = documented(HttpServiceClient.request)


def test_the_keywords_are_written_once_and_built_as_written() -> None:
    """The record that users annotate with has those that a call is built of, and `request` explains each."""
    makers = (CallBuilder._requested, CallBuilder._special)
    parameters = [it for make in makers for it in inspect.signature(make).parameters.values()]
    built = [it.name for it in parameters if it.kind is it.KEYWORD_ONLY and not it.name.startswith("_")]
    built.append("response_type")  # of `build` itself
    assert len(built) == len(set(built))
    assert set(built) == set(RequestOptions.__annotations__)
    assert set(built) - {"response_type"} == set(StreamRequestOptions.__annotations__)
    assert set(built) | {"method", "url"} == set(EXPLAINED)


@each_row("suffix", BOTH)
@each_row("verb", ["request", *VERBS])
def test_every_verb_explains_every_keyword(verb: str, suffix: str) -> None:
    """In the words of `request`, in its own docstring: an editor does not follow references."""
    expected = EXPLAINED if verb == "request" else {k: v for k, v in EXPLAINED.items() if k != "method"}
    assert documented(getattr(HttpServiceClient, verb + suffix)) == expected


@pytest.mark.parametrize("suffix", BOTH)
def test_send_explains_every_keyword(suffix: str) -> None:
    """Those of `request` that are not about what is in the request."""
    explained = documented(getattr(HttpServiceClient, "send" + suffix))
    assert "error.request" in explained.pop("request")
    expected = {*SendOptions.__annotations__, "response_type"}
    assert explained == {name: text for name, text in EXPLAINED.items() if name in expected}


@pytest.mark.parametrize("suffix", BOTH)
def test_a_stream_explains_every_keyword(suffix: str) -> None:
    """Those of `request` but for `response_type`, and its own."""
    explained = documented(getattr(HttpServiceClient, "stream" + suffix))
    assert "decoded bytes" in explained.pop("max_response_size")
    assert explained == {name: text for name, text in EXPLAINED.items() if name != "response_type"}


@pytest.mark.parametrize("suffix", BOTH)
@pytest.mark.parametrize("name", ["download", "download_parallel"])
def test_a_download_explains_every_keyword(name: str, suffix: str) -> None:
    """Its progress counts what is received; the rest is as for a stream."""
    explained = documented(getattr(HttpServiceClient, name + suffix))
    if name == "download_parallel":
        assert "at a time" in explained.pop("parts")
    assert "sha256:" in explained.pop("checksum")
    assert "folder" in explained.pop("path")
    assert "continues there" in explained.pop("resume")
    assert "decoded bytes" in explained.pop("max_response_size")
    assert "bytes received" in explained.pop("progress")
    others = {"method", "response_type", "progress"}
    assert explained == {name: text for name, text in EXPLAINED.items() if name not in others}


@pytest.mark.parametrize("suffix", BOTH)
def test_a_listing_explains_every_keyword(suffix: str) -> None:
    """Those of `request`, and its own."""
    explained = documented(getattr(HttpServiceClient, "paginate" + suffix))
    own = {name: explained.pop(name) for name in ("method", "next", "max_pages", "allowed_origins")}
    assert all(own.values())
    assert explained == {name: text for name, text in EXPLAINED.items() if name != "method"}


@pytest.mark.parametrize("suffix", BOTH)
def test_an_event_source_explains_every_keyword(suffix: str) -> None:
    """Those of a stream, and its own; the deadline is that of all connections."""
    explained = documented(getattr(HttpServiceClient, "events" + suffix))
    own = ("method", "last_event_id", "reconnect_delay", "max_reconnects", "max_length", "idle_timeout")
    assert all(explained.pop(name) for name in own)
    assert "for all connections" in explained.pop("total_timeout")
    others = {"method", "response_type", "total_timeout"}
    assert explained == {name: text for name, text in EXPLAINED.items() if name not in others}


@each_row("suffix", BOTH)
@each_row("method", ["stream", "download", "download_parallel"])
def test_a_keyword_that_falls_back_to_the_client_says_so(method: str, suffix: str) -> None:
    """No private marker is shown in its place, and its type is that of the values that it takes."""
    parameter = inspect.signature(getattr(HttpServiceClient, method + suffix)).parameters["max_response_size"]
    assert str(parameter) == "max_response_size: 'int | None' = <the client's>"


def test_no_public_method_shows_a_private_marker() -> None:
    """`help(HttpServiceClient)` has no UNSET in it, and neither have the messages."""
    for kind in (HttpServiceClient, HttpRequest, HttpResponse):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if name == "__init__" or not name.startswith("_"):
                assert "UNSET" not in str(inspect.signature(method))
    assert repr(CLIENT_DEFAULT) == "<the client's>"


def test_the_types_of_the_options_can_be_asked_for() -> None:
    """As libraries do that check the arguments of a user's own function by them."""
    for options in (RequestOptions, SendOptions, StreamRequestOptions):
        assert get_type_hints(options).keys() == options.__annotations__.keys()
