"""What a request takes along to an alternate host, and which requests may go there."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConnectError,
    HttpClientConfig,
    HttpResponse,
)
from http_service_client.http.messages import HttpRequest
from kit.front_ends import FrontEnd
from kit.hosts import SETTINGS, A, B, Bench, C


def test_what_the_client_has_goes_along(front_end: FrontEnd) -> None:
    """Credentials, headers, the body and the idempotency key are the same; cookies are by host."""
    bench = Bench(front_end, auth="token", cookies=True, auto_idempotency_key=True)
    bench.outcomes[B] = [HttpResponse(200, headers={"Set-Cookie": "b=1"}), HttpResponse(200)]
    bench.down(A)
    bench.request("POST", json={"x": 1}, headers={"X-Own": "1"})
    bench.request("POST", json={"x": 2})
    first, second, _, again = bench.transport.sent
    for name in ("Authorization", "X-Own", "Idempotency-Key"):
        assert first.request.headers[name] == second.request.headers[name]
    assert second.content == b'{"x":1}'
    assert "Cookie" not in second.request.headers
    assert again.request.headers["Cookie"] == "b=1"


def test_an_interceptor_and_a_signer_see_the_host_of_the_attempt(front_end: FrontEnd) -> None:
    """A signature is over what is sent."""

    class Stamp:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            request.headers["X-At"] = context.key
            return request

    def sign(request: HttpRequest, context: Any) -> None:
        request.headers["X-Signature"] = request.url

    bench = Bench(front_end, request_interceptors=[Stamp()], request_signers=[sign])
    bench.down(A)
    bench.request()
    for sent, origin in zip(bench.transport.sent, (A, B), strict=True):
        assert sent.request.headers["X-At"] == origin
        assert sent.request.headers["X-Signature"] == sent.request.url


def test_an_absolute_url_is_left_alone(bench: Bench) -> None:
    """Also one under the base URL: whoever writes it means it. So is a request that was kept."""
    bench.down(A)
    with pytest.raises(ConnectError):
        bench.request(url=f"{A}/v1/items")
    error = bench.error(ConnectError, url=f"{A}/v1/items", circuit_breaker=False)
    assert set(bench.hosts) == {"a"}
    assert error.request.url == f"{A}/v1/items"


def test_a_redirect_to_elsewhere_takes_no_credentials_along(front_end: FrontEnd) -> None:
    """From an alternate host as from the first: only the hosts that are listed get them."""
    bench = Bench(front_end, auth="token")
    bench.down(A)
    bench.outcomes[B] = [HttpResponse(302, headers={"Location": f"{C}/x"})]
    assert bench.request().url == f"{C}/x"
    *_, last = bench.transport.sent
    assert "Authorization" not in last.request.headers
    assert bench.hosts == "abc"


def test_each_tenant_has_circuits_of_its_own_at_each_host(bench: Bench) -> None:
    """The first host refuses one tenant, and serves the other."""
    bench.down(A)
    for _ in range(3):
        bench.request(key="t1")
    bench.up(A)
    bench.request(key="t1")
    bench.request(key="t2")
    assert bench.hosts == "ababab" + "b" + "a"
    assert {f"{A} (t1)", f"{B} (t1)", f"{A} (t2)"} <= set(bench.client._call_builder.origins._states)


def test_a_circuit_that_the_call_brings_is_that_of_all_hosts(bench: Bench) -> None:
    """It refuses the call, wherever it goes."""
    policy = CircuitBreakerPolicy(failure_threshold=1, recovery_timeout=10.0)
    policy.isolate()
    error = bench.error(CircuitOpenError, circuit_breaker=policy)
    assert [event.name for event in error.timeline] == ["circuit_refused", "call_finished"], (
        "it is asked once"
    )
    assert bench.hosts == ""
    bench.down(A)
    for _ in range(4):
        bench.request(circuit_breaker=False)
    assert bench.hosts == "ab" * 4


def test_views_and_reconfiguring(bench: Bench) -> None:
    """A view has the client's hosts, unless it has a base URL of its own; other settings follow."""
    bench.down(A)
    with bench.client.with_options(timeout=5.0) as view:
        assert bench.front_end.request(view, "GET", "items").url == f"{B}/items"
    with bench.client.with_options(base_url=f"{A}/v2") as view, pytest.raises(ConnectError):
        bench.front_end.request(view, "GET", "items")
    bench.client.reconfigure(HttpClientConfig(**{**SETTINGS, "alternate_urls": [f"{C}/c"]}))
    assert bench.request().url == f"{C}/c/items"
    bench.client.reconfigure(HttpClientConfig(**{**SETTINGS, "alternate_urls": []}))
    with pytest.raises((ConnectError, CircuitOpenError)):
        bench.request()


def test_a_stream_and_a_download_move_as_well(bench: Bench, tmp_path: Any) -> None:
    """Until their head has come."""
    bench.down(A)
    with bench.front_end.stream(bench.client, "GET", "items") as response:
        assert response.url == f"{B}/items"
    bench.outcomes[B] = [HttpResponse(200, content=b"file")]
    bench.front_end.download(bench.client, "items", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"file"
    assert bench.hosts == "abab"


def test_pages_move_as_well(bench: Bench) -> None:
    """The first page, and those by a parameter, go to any of the hosts; a link of either host may be followed."""
    bench.down(A)
    bench.outcomes[B] = [
        HttpResponse(200, headers={"Link": f'<{B}/items?page=2>; rel="next"'}),
        HttpResponse(200, headers={"Link": f'<{A}/v1/items?page=3>; rel="next"'}),
        HttpResponse(200),
    ]
    pages = bench.front_end.paginate(bench.client, "items")
    assert [next(pages).url for _ in range(2)] == [f"{B}/items", f"{B}/items?page=2"]
    bench.up(A)
    assert [page.url for page in pages] == [f"{A}/v1/items?page=3"]
    assert bench.hosts == "abba"


@pytest.mark.parametrize(("url", "goes_on"), [("items", True), (f"{A}/v1/items", False)])
def test_pages_by_a_parameter_go_where_the_first_one_may_go(bench: Bench, url: str, goes_on: bool) -> None:
    """To any of the hosts; of an absolute URL, to its own alone."""
    found: Any = iter([{"params": {"page": 2}}, None])
    pages = bench.front_end.paginate(bench.client, url, next=lambda _: next(found))
    assert next(pages).url == f"{A}/v1/items"
    bench.down(A)
    with nullcontext() if goes_on else pytest.raises(ConnectError):
        assert next(pages).url == f"{B}/items?page=2"
    assert (f"{B}/items?page=2" in bench.urls) is goes_on


def test_a_revalidation_behind_a_call_has_hosts_of_its_own(front_end: FrontEnd) -> None:
    """What the call has tried is tried again."""
    bench = Bench(front_end)
    call = bench.client._call_builder.build("GET", "items")
    assert call.hosts is not None
    call.hosts.tried.append(0)
    assert call.hosts.choose() == 1
    assert call.hosts.afresh().choose() == 0


def test_the_response_of_an_alternate_is_not_cached_and_the_timeline_says_why(front_end: FrontEnd) -> None:
    """Its validators are those of its host."""
    bench = Bench(front_end, cache=Cache())
    kept = HttpResponse(200, headers={"Cache-Control": "max-age=60", "ETag": '"1"'})
    bench.outcomes[B] = [kept]
    bench.down(A)
    for _ in range(2):
        response = bench.request()
        assert (response.url, response.from_cache) == (f"{B}/items", False)
    assert "not stored: an alternate host responded" in response.explain()
    bench.outcomes[A] = [kept]
    assert [bench.request().from_cache for _ in range(2)] == [False, True]
