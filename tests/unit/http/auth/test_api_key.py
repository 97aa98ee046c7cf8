"""API keys: where they are sent, and that nothing shows them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from http_service_client import ConstantBackoff, HttpClientConfig, InvalidRequestError, RetryPolicy
from http_service_client.auth import ApiKey
from http_service_client.http import urls
from kit.fakes import READ_TIMEOUT, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

RETRIES = {"retry_policy_config": RetryPolicy(2, ConstantBackoff(0.1, jitter="none"))}


def test_a_key_is_sent_in_a_header(front_end: FrontEnd) -> None:
    """`X-Api-Key`, or another one."""
    harness = Harness(front_end, 200)
    harness.request(auth=ApiKey("k3y"))
    harness.request(auth=ApiKey("Token k3y", header="Authorization"))
    assert [r.headers.get("X-Api-Key") for r in harness.transport.sent] == ["k3y", None]
    assert harness.transport.sent[1].headers["Authorization"] == "Token k3y"


def test_a_key_is_sent_in_the_query(front_end: FrontEnd) -> None:
    """Escaped, after the other parameters; one that the call sets itself stays, even if it is empty."""
    harness = Harness(front_end, 200, auth=ApiKey("k 3&y", query="appid"))
    harness.request(params={"q": "x"})
    harness.request(params={"appid": "own"})
    harness.request(params={"appid": ""})
    assert [r.url for r in harness.transport.sent] == [
        f"{URL}?q=x&appid=k%203%26y",
        f"{URL}?appid=own",
        f"{URL}?appid=",
    ]


def test_a_key_of_the_moment_is_asked_for_in_each_attempt(front_end: FrontEnd) -> None:
    """A key that was rotated between two attempts is the new one."""
    keys = iter(["old", "new"])
    harness = Harness(front_end, 503, 200, auth=ApiKey(lambda: next(keys)), **RETRIES)
    assert harness.request().status_code == 200
    assert [r.headers["X-Api-Key"] for r in harness.transport.sent] == ["old", "new"]


def test_nothing_shows_a_key(front_end: FrontEnd) -> None:
    """Neither a name that does not look like a secret's, nor the timeline, an error, or a pickle of it."""
    for auth in (ApiKey("s3cret", query="appid"), ApiKey("s3cret", header="X-Partner")):
        harness = Harness(front_end, READ_TIMEOUT, auth=auth, retry_policy_config=None)
        error = harness.error(Exception, "POST")
        sent = harness.transport.sent[0]
        assert (
            "s3cret"
            not in f"{auth!r} {HttpClientConfig(auth=auth)!r} {error.explain()} {sent!r} {sent.headers!r}"
        )
        assert b"s3cret" not in pickle.dumps(sent)
        assert "s3cret" in sent.url or sent.headers["X-Partner"] == "s3cret"


def test_a_key_stays_with_its_origin(front_end: FrontEnd) -> None:
    """A redirect to another one drops it."""
    harness = Harness(
        front_end, (302, {"Location": "https://other.example.com/"}), 200, auth=ApiKey("k", query="appid")
    )
    harness.request()
    assert harness.transport.sent[1].url == "https://other.example.com/"


def test_keys_compare_and_copy() -> None:
    """By their credentials."""
    auth = ApiKey("k", header="X-Key")
    for twin in (pickle.loads(pickle.dumps(auth)), copy.deepcopy(auth)):
        assert twin == auth
    assert auth != ApiKey("k", header="X-Other")


def test_the_process_that_unpickles_a_key_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was spawned has made no key of this name itself, and its logs have URLs."""
    data = pickle.dumps(ApiKey("s3cret", query="x-of-this-test"))
    monkeypatch.setattr(urls, "_VOUCHERS", set())
    url = "https://api.example.com/?X-Of-This-Test=s3cret"
    assert "s3cret" in urls.redact_url(url)
    pickle.loads(data)
    assert "s3cret" not in urls.redact_url(url)


async def async_key() -> str:
    return "k"


@each_row(
    ("arguments", "settings", "problem"),
    [
        (("",), {}, "must be text that is not empty, not ''$"),
        ((None,), {}, "must be text that is not empty, not NoneType"),
        ((b"k",), {}, "must be text that is not empty, not bytes"),
        ((async_key,), {}, "a plain function that returns the key at once"),
        (("a\nb",), {}, "the key in auth must be text without control characters"),
        (("k",), {"header": "X Key"}, "header must be the name of a header, not 'X Key'"),
        (("k",), {"header": 3}, "header must be the name of a header, not 3"),
        (("k",), {"query": ""}, "query must be the name of a parameter"),
        (("k",), {"query": 3}, "query must be the name of a parameter, not 3"),
        (("k",), {"query": "a", "header": "b"}, "set only one of them"),
    ],
)
def test_wrong_settings_are_refused(arguments: Any, settings: Any, problem: str) -> None:
    """With the name of the setting."""
    with pytest.raises(InvalidRequestError, match=problem):
        ApiKey(*arguments, **settings)
