"""HMAC signatures: in the shapes of well-known services, by their own examples, and checked by the receiver."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import io
import math
import pickle
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConstantBackoff,
    HttpClientConfig,
    InvalidRequestError,
    RetryPolicy,
)
from http_service_client.auth import HmacSignature
from kit.fakes import URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

RETRIES = {"retry_policy_config": RetryPolicy(2, ConstantBackoff(30.0, jitter="none"))}
NOW = 1_700_000_000.0
STRIPE: dict[str, Any] = {
    "headers": {"Stripe-Signature": "t={timestamp},v1={signature}"},
    "payload": "{timestamp}.{body}",
}


def signer(key: Any = "k3y", **settings: Any) -> HmacSignature:
    return HmacSignature(key, **{"clock": lambda: NOW, **settings})


def received(harness: Harness, number: int = 0) -> tuple[dict[str, str], bytes]:
    body = harness.transport.bodies[number]
    assert body is not None
    return dict(harness.transport.sent[number].headers.items()), body


def test_the_example_of_github(front_end: FrontEnd) -> None:
    """From its page on validating webhook deliveries: this key, this payload, this signature."""
    github = signer("It's a Secret to Everybody", headers={"X-Hub-Signature-256": "sha256={signature}"})
    harness = Harness(front_end, request_signers=[github])
    harness.request("POST", data=b"Hello, World!")
    assert harness.transport.sent[0].headers["X-Hub-Signature-256"] == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


def test_the_example_of_slack(front_end: FrontEnd) -> None:
    """From its page on verifying requests."""
    slack = HmacSignature(
        "8f742231b10e8888abcd99yyyzzz85a5",
        headers={"X-Slack-Signature": "v0={signature}", "X-Slack-Request-Timestamp": "{timestamp}"},
        payload="v0:{timestamp}:{body}",
        clock=lambda: 1531420618.0,
    )
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015"
        b".47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    harness = Harness(front_end, request_signers=[slack])
    harness.request("POST", data=body)
    sent = harness.transport.sent[0].headers
    assert sent["X-Slack-Signature"] == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert sent["X-Slack-Request-Timestamp"] == "1531420618"


def test_the_example_of_standard_webhooks(front_end: FrontEnd) -> None:
    """From its specification: id, time and body, in base64."""
    import base64

    webhooks = HmacSignature(
        base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        headers={"Webhook-Signature": "v1,{signature}", "Webhook-Timestamp": "{timestamp}"},
        payload="{header:Webhook-Id}.{timestamp}.{body}",
        encoding="base64",
        clock=lambda: 1614265330.0,
    )
    harness = Harness(front_end, request_signers=[webhooks])
    harness.request(
        "POST", data=b'{"test": 2432232314}', headers={"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek"}
    )
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert harness.transport.sent[0].headers["Webhook-Signature"] == expected
    assert webhooks.verify(*received(harness))


@each_row(
    ("payload", "signed"),
    [
        ("{method}\n{url}", f"POST\n{URL}?q=a%20b"),
        ("{target}", "/charges?q=a%20b"),
        ("{path}|{query}|{host}", "/charges|q=a%20b|api.example.com"),
        ("{{x}}{header:X-Id}", "{x}7"),
        ("", ""),
        ("{body}{body}", "ww"),
    ],
)
def test_what_a_payload_may_have(front_end: FrontEnd, payload: str, signed: str) -> None:
    """As it is sent; the receiver makes the same of it."""
    own = signer(payload=payload, algorithm="sha512")
    harness = Harness(front_end, request_signers=[own])
    harness.request("POST", params={"q": "a b"}, data=b"w", headers={"X-Id": "7"})
    headers, body = received(harness)
    assert headers["X-Signature"] == hmac.new(b"k3y", signed.encode(), hashlib.sha512).hexdigest()
    url = harness.transport.sent[0].url
    assert own.verify(headers, body, url=url)
    covers_query = any(name in payload for name in ("{url}", "{target}", "{query}"))
    assert own.verify(headers, body, url=f"{url}&more=1") is not covers_query


@each_row("algorithm", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@each_row("encoding", ["hex", "base64"])
def test_each_algorithm_signs_and_verifies(algorithm: str, encoding: Any) -> None:
    """In each encoding; with padding or without."""
    own = HmacSignature("k3y", algorithm=algorithm, encoding=encoding)
    digest = hmac.new(b"k3y", b"{}", algorithm).digest()
    headers = {"X-Signature": digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()}
    assert own.verify(headers, b"{}")
    assert not own.verify(headers, b"{ }")


def test_each_attempt_has_a_timestamp_of_its_own(front_end: FrontEnd) -> None:
    """An old signature would be refused after a long wait."""
    times = iter([NOW, NOW + 30])
    own = HmacSignature("k3y", **STRIPE, clock=lambda: next(times))
    harness = Harness(front_end, 503, 200, request_signers=[own], **RETRIES)
    harness.request("PUT", json={"a": 1})
    first, second = (request.headers["Stripe-Signature"] for request in harness.transport.sent)
    assert (first[:12], second[:12]) == ("t=1700000000", "t=1700000030")
    assert first[13:] != second[13:]


def test_a_redirect_to_another_origin_is_not_signed(front_end: FrontEnd) -> None:
    """Within the origin it is, for the new URL."""
    own = signer(payload="{url}")
    hops = [(307, {"Location": "/b"}), (307, {"Location": "https://other.example.com/"}), 200]
    harness = Harness(front_end, *hops, request_signers=[own])
    harness.request("POST", json={})
    signatures = [request.headers.get("X-Signature") for request in harness.transport.sent]
    assert signatures[0] != signatures[1]
    assert signatures[2] is None


def test_a_file_is_signed_in_pieces_and_a_stream_cannot_be(front_end: FrontEnd) -> None:
    """Its bytes are known only while they are sent."""
    own = signer()
    harness = Harness(front_end, request_signers=[own])
    harness.request("POST", data=io.BytesIO(b"x" * 100_000))
    assert own.verify(*received(harness))
    harness.error(InvalidRequestError, "POST", data=iter([b"x"]))


def test_a_missing_header_is_an_error_and_fails_a_check(front_end: FrontEnd) -> None:
    """Before anything is sent."""
    own = signer(payload="{header:X-Id}{body}")
    harness = Harness(front_end, request_signers=[own])
    error = harness.error(InvalidRequestError, "POST", data=b"x")
    assert "the header X-Id, which is to be signed, is missing" in str(error)
    assert harness.sends == 0
    assert not own.verify({"X-Signature": "0" * 64}, b"x")


def stripe_header(timestamp: float, key: str = "k3y", body: bytes = b"{}") -> str:
    stamp = str(int(timestamp))
    mac = hmac.new(key.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


@each_row(
    ("value", "expected"),
    [
        (stripe_header(NOW), True),
        (stripe_header(NOW - 300), True),
        (stripe_header(NOW + 300), True),
        (stripe_header(NOW - 301), False),
        (stripe_header(NOW + 301), False),
        (stripe_header(NOW, key="other"), False),
        (stripe_header(NOW, body=b"{ }"), False),
        (f"{stripe_header(NOW, key='new')},v1={stripe_header(NOW)[-64:]}", True),
        (stripe_header(NOW).replace("t=1", "t=2"), False),
        (stripe_header(NOW)[:-1], False),
        (stripe_header(NOW)[13:], False),
        ("", False),
        (None, False),
        ("t=9" * 5000, False),
        (f"t={NOW},v1=é", False),
    ],
)
def test_what_a_receiver_accepts(value: str | None, expected: bool) -> None:
    """A signature by its key over these bytes, of these minutes."""
    headers = {} if value is None else {"stripe-signature": value}
    assert signer(**STRIPE).verify(headers, b"{}") is expected


def test_the_first_key_signs(front_end: FrontEnd) -> None:
    """The others are for the check."""
    harness = Harness(front_end, request_signers=[signer(["new", "old"], **STRIPE)])
    harness.request("POST", data=b"{}")
    assert harness.transport.sent[0].headers["Stripe-Signature"] == stripe_header(NOW, "new")


@each_row("encoding", ["hex", "base64"])
@each_row(
    ("before", "after", "expected"),
    [
        ("", "", True),
        ("v1=", ",v0=", True),
        ("0", "", False),
        ("", "0", False),
        ("", "a", False),
    ],
)
def test_where_a_signature_may_stand(encoding: str, before: str, after: str, expected: bool) -> None:
    """Anywhere in the header, but as a whole: the same digits within more of them are another number."""
    digest = hmac.new(b"k3y", b"{}", "sha256").digest()
    signature = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    if encoding == "base64":
        before = before.replace("x", ".").replace("v1=", "v1,")  # = may be a part of one
    own = signer(encoding=encoding)
    assert own.verify({"X-Signature": f"{before}{signature}{after}"}, b"{}") is expected


@pytest.mark.parametrize(("characters", "expected"), [(10_000, True), (10_001, False)])
def test_how_much_is_read_of_a_header(characters: int, expected: bool) -> None:
    """A stranger may have sent more."""
    signature = hmac.new(b"k3y", b"{}", "sha256").hexdigest()
    headers = {"X-Signature": "x" * (characters - len(signature)) + signature}
    assert signer().verify(headers, b"{}") is expected


def test_a_request_without_host_is_signed_without_it() -> None:
    """As HTTP/1.0 allows."""
    own = signer(payload="{host}")
    assert own.verify({"X-Signature": hmac.new(b"k3y", b"", "sha256").hexdigest()}, b"{}")


def test_a_check_is_of_a_post_by_default() -> None:
    """As webhooks are. The URL is for payloads that have it."""
    own = signer(payload="{method} {url}")
    assert own.verify({"X-Signature": hmac.new(b"k3y", b"POST ", "sha256").hexdigest()}, b"")


def test_a_key_can_be_replaced() -> None:
    """The receiver accepts both meanwhile."""
    both, old = signer(["new", b"old"], **STRIPE), {"Stripe-Signature": stripe_header(NOW, "old")}
    assert both.verify(old, b"{}")
    assert both.verify({"Stripe-Signature": stripe_header(NOW, "new")}, b"{}")
    assert not signer("new", **STRIPE).verify(old, b"{}")


@each_row(
    ("payload", "url", "signed"),
    [
        ("{path}", "https://h", b"/"),
        ("{path}", "https://h/a?b=c", b"/a"),
        ("{target}", "https://h", b"/"),
        ("{target}", "https://h?b=c", b"/?b=c"),
        ("{target}", "https://h/a", b"/a"),
        ("{target}", "https://h/a?", b"/a?"),
        ("{target}", "https://h/a#b?c", b"/a"),
        ("{query}", "https://h/a?b=c", b"b=c"),
        ("{query}", "https://h/a", b""),
        ("{url}", "https://h", b"https://h"),
        ("{method}", "", b"PUT"),
        ("{host}", "https://other", b"h:8443"),
        ("{header:X-Id}", "", b"7"),
    ],
)
def test_what_a_field_stands_for_in_a_check(payload: str, url: str, signed: bytes) -> None:
    """Of the URL as its receiver has put it together; an empty path is /, as it is sent."""
    signature = hmac.new(b"k", signed, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "Host": "h:8443", "X-Id": "7"}
    assert signer("k", payload=payload).verify(headers, b"{}", method="put", url=url)


@pytest.mark.parametrize(("payload", "url"), [("{header:X-Id}", ""), ("{path}", "https://[bad")])
def test_a_header_or_url_that_cannot_be_read_fails_a_check(payload: str, url: str) -> None:
    """Such as bytes that are not UTF-8: a stranger sent them, and the receiver must not raise."""
    assert not signer(payload=payload).verify({"X-Signature": "0" * 64, "X-Id": "\udcff"}, b"", url=url)


@pytest.mark.parametrize("tolerance", [None, 0, -1, math.nan, "300"])
def test_a_wrong_tolerance_is_refused(tolerance: Any) -> None:
    """A check without one would accept replays for ever."""
    with pytest.raises(ConfigurationError, match="tolerance must be"):
        signer("k", **STRIPE).verify({}, b"", tolerance=tolerance)


def test_a_body_that_was_decoded_is_refused() -> None:
    """Text is not what was signed."""
    with pytest.raises(TypeError, match="body must be bytes, as they arrived, not str"):
        signer("k", **STRIPE).verify({"Stripe-Signature": stripe_header(NOW, "k")}, "{}")  # type: ignore[arg-type]


@each_row(
    ("settings", "problem"),
    [
        ({"key": ""}, "key must be text or bytes"),
        ({"key": []}, "key must be text or bytes"),
        ({"key": ["a", 5]}, "key must be text or bytes"),
        ({"key": None}, "key must be text or bytes"),
        ({"key": "k\n"}, "a key that is text has a line break"),
        ({"key": ["k", b"k\n", "k\x00"]}, "a key that is text has a line break"),
        ({"key": bytearray(b"k")}, "key must be text or bytes"),
        ({"algorithm": "md5"}, "algorithm must be one of sha1"),
        ({"encoding": "base16"}, "encoding must be 'hex' or 'base64'"),
        ({"payload": "{time}"}, r"payload has \{time\}, which is not a field; it may have .*\{header:Name\}"),
        ({"payload": "{header}"}, r"payload has \{header\}, which is not a field"),
        ({"payload": "{body:>9}"}, r"payload has \{body:>9\}, which is not a field"),
        ({"payload": "{body!r}"}, r"payload has \{body!r\}; leave out its '!r'"),
        ({"payload": "{body"}, "payload is not a template"),
        ({"payload": "{timestamp}"}, "the receiver could not check it"),
        ({"headers": {"X-A": "{timestamp}"}}, r"headers must have \{signature\}"),
        ({"headers": {"X A": "{signature}"}}, "headers must map .*, not {'X A': '{signature}'}"),
        ({"headers": {"X-A": "{signature}", "X B": "t"}}, "headers must map .*, not {'X-A'"),
        ({"headers": "X-A"}, "headers must map .*, such as .*, not 'X-A'"),
        ({"headers": {"X-A": "{body}"}}, r"headers\['X-A'\] has \{body\}"),
        ({"headers": {"X-A": 5}}, "must be a template, not int"),
        ({"clock": NOW}, "clock must be a function"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    """With the name of the setting."""
    with pytest.raises(ConfigurationError, match=problem):
        signer(**settings)


def test_a_field_that_does_not_exist_is_answered_with_those_that_do() -> None:
    """Each in the form in which it is written."""
    with pytest.raises(ConfigurationError) as caught:
        signer(headers={"X-A": "{signature} {time}"})
    assert str(caught.value) == (
        "headers['X-A'] has {time}, which is not a field; it may have {signature}, {timestamp}"
    )
    with pytest.raises(ConfigurationError) as caught:
        signer(payload="{header}")
    assert str(caught.value) == (
        "payload has {header}, which is not a field; it may have {body}, {header:Name}, {host}, {method}, {path}, "
        "{query}, {target}, {timestamp}, {url}"
    )


def test_a_signer_is_a_value_that_shows_no_key() -> None:
    """It compares, copies and pickles."""
    own = HmacSignature("s3cret", **STRIPE)
    for twin in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert twin == own
    assert own != HmacSignature("other", **STRIPE)
    assert own == HmacSignature("s3cret", **STRIPE, clock=lambda: NOW)  # a clock is no setting
    assert hash(own) == hash(copy.copy(own))
    assert "s3cret" not in f"{own!r}{HttpClientConfig(request_signers=[own])!r}"


def test_a_mapping_of_headers_may_change_later() -> None:
    """The signer has a copy of it, too."""
    headers = {"X-A": "{signature}"}
    own = HmacSignature("k", headers=headers)
    headers["X-B"] = "{timestamp}"
    assert own == HmacSignature("k", headers={"X-A": "{signature}"})
    assert own != HmacSignature("k", headers=headers)


def test_a_key_of_bytes_may_have_any() -> None:
    """It may be random."""
    assert signer(key=b"\n\x00").key == b"\n\x00"


def test_a_list_of_keys_may_change_later() -> None:
    """The signer has a copy of it, and stays as it was made."""
    keys = ["new", "old"]
    own = HmacSignature(keys)
    keys.remove("old")
    assert own == HmacSignature(("new", "old"))
    assert hash(own) == hash(pickle.loads(pickle.dumps(own)))
