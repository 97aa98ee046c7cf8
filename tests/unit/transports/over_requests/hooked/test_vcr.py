"""What urllib3 is given while vcrpy records, and what of its responses is passed on."""

from __future__ import annotations

import gzip
import http.client
import math
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.hooked import vcr
from http_service_client.transports.over_requests.hooked.vcr import RecordedPool, RecordingPools

HELLO = gzip.compress(b"hello", mtime=0)


class Recorded(http.client.HTTPResponse):
    """A response of vcrpy."""

    def __init__(self, data: bytes, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[assignment]
        self.data = data


class Pool:
    """One of urllib3's.   given: the arguments of each exchange."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.given: list[Any] = []

    def urlopen(self, *arguments: Any, **options: Any) -> Any:
        self.given.append((arguments, options))
        return self.response


@pytest.mark.parametrize(
    ("limits", "connect", "read"),
    [
        ((None, None, None), None, None),
        ((110.0, 105.0, 3.0), 5.0, 3.0),
        ((102.0, 102.0, 3.0), 2.0, 2.0),
        ((None, None, 3.0), None, 3.0),
        ((110.0, 110.0, None), 10.0, 10.0),
        ((100.0, 99.0, None), 0.001, 0.001),
    ],
)
def test_urllib3_has_what_is_left_of_the_time(
    limits: tuple[Any, ...], connect: float | None, read: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has one timeout to connect and one for each read, and none may be 0."""
    monkeypatch.setattr(vcr, "time", SimpleNamespace(monotonic=lambda: 100.0))
    expires_at, connect_expires_at, read_within = limits
    timeouts = ExchangeTimeouts(expires_at, connect_expires_at, read_within, None)
    pool = Pool("a response")
    returned = RecordedPool(pool).urlopen("GET", "/x", timeout=SimpleNamespace(limits=timeouts), body=b"ab")
    assert returned == "a response"
    ((arguments, options),) = pool.given
    timeout = options.pop("timeout")
    assert (arguments, options) == (("GET", "/x"), {"body": b"ab"})
    for found, expected in ((timeout.connect_timeout, connect), (timeout._read, read)):
        assert found == expected or math.isclose(found, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("response", "fields"),
    [
        (Recorded(b"hello", Content_Encoding="gzip", X_A="1"), {"X-A": "1"}),
        (Recorded(HELLO, Content_Encoding="gzip"), {"Content-Encoding": "gzip"}),
        (Recorded(b"hello", X_A="1"), {"X-A": "1"}),
        (
            SimpleNamespace(headers={"Content-Encoding": "gzip"}, data=b"hello"),
            {"Content-Encoding": "gzip"},
        ),
    ],
    ids=["decoded", "coded", "plain", "not recorded"],
)
def test_a_body_that_was_recorded_decoded_has_no_coding(response: Any, fields: dict[str, str]) -> None:
    """The client would decode it once more."""
    timeouts = SimpleNamespace(limits=ExchangeTimeouts(None, None, None, None))
    returned = RecordedPool(Pool(response)).urlopen("GET", "/", timeout=timeouts)
    assert returned is response
    assert returned.headers == fields


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_either_scheme_may_be_recorded(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then urllib3's pools are used, and cleared."""
    monkeypatch.setattr(vcr, "is_recorded", lambda each: each == scheme)
    pools = RecordingPools()
    assert pools.connection_from_url("http://a.test/").host == "a.test"
    assert len(pools.pools) == 1
    pools.clear()
    assert len(pools.pools) == 0
