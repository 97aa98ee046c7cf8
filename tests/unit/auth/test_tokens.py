"""Calls with tokens: what they send, when they wait, and how they fail, in both front ends."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientClosedError,
    ConnectError,
    ConstantBackoff,
    DeadlineExceededError,
    HttpRequest,
    HttpResponse,
    HttpStatusError,
    ReadTimeoutError,
    RetryPolicy,
    SentState,
    TokenError,
)
from http_service_client.auth import BearerToken
from http_service_client.core.outcomes import already_closed
from http_service_client.events import TokenAwaited
from kit.fakes import READ_TIMEOUT, REFUSED, URL
from kit.front_ends import FrontEnd
from kit.interceptors import on_request
from kit.token_services import TOKEN_URL, Service, granted, harness, login, refused


def test_the_first_call_fetches_a_token_and_the_others_use_it(front_end: FrontEnd) -> None:
    """The token request is sent once, before the call's own."""
    service = Service()
    client = harness(front_end, service)
    first, second = client.request(), client.request()
    assert (first.status_code, first.attempts, second.status_code) == (200, 1, 200)
    assert (len(service.fetches), service.calls) == (1, ["Bearer t1"] * 2)


def test_a_call_may_bring_a_token_of_its_own(front_end: FrontEnd) -> None:
    """In place of the client's."""
    service = Service()
    client = harness(front_end, service, auth=None)
    assert client.request(auth=login()).status_code == 200
    assert client.request().status_code == 401


def test_the_wait_for_a_token_is_in_the_timeline(front_end: FrontEnd) -> None:
    """With the service it came from, and no secret."""
    client = harness(front_end, Service())
    story = client.request().explain()
    assert f"attempt 1: waited 0.000 s for a token from {TOKEN_URL}" in story
    assert "t1" not in story
    assert "s3cret" not in story


@pytest.mark.parametrize("fails", [False, True])
def test_the_wait_for_a_token_follows_the_401_that_caused_it(front_end: FrontEnd, fails: bool) -> None:
    """In the timeline. A call that gets no token is not sent again, but has waited, too."""
    service = Service()
    client = harness(front_end, service)
    client.request()
    service.accepted.clear()
    if fails:
        service.grants = [HttpResponse(400, url=TOKEN_URL)]
        events = list(client.error(TokenError).timeline)
    else:
        events = list(client.request().timeline)
    told = [event.name for event in events if event.name in ("auth_continued", "token_awaited")]
    assert told == ["auth_continued", "token_awaited"][fails:]
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_an_expired_token_is_replaced_before_the_call_is_sent(front_end: FrontEnd) -> None:
    """The service never sees the old one."""
    service = Service(lifetime=100)
    client = harness(front_end, service)
    client.request()
    client.clock.now += 96.0
    assert client.request().status_code == 200
    assert service.calls == ["Bearer t1", "Bearer t2"]


def test_a_post_is_sent_once_more_after_a_401(front_end: FrontEnd) -> None:
    """With another token, within the same attempt: a 401 means that it was not applied."""
    service = Service()
    client = harness(front_end, service)
    client.request()
    service.accepted.clear()
    response = client.request("POST", json={"amount": 5})
    assert (response.status_code, response.attempts) == (200, 1)
    assert service.calls == ["Bearer t1", "Bearer t1", "Bearer t2"]
    assert client.transport.bodies[-3:] == [b'{"amount":5}', client.transport.bodies[-2], b'{"amount":5}']


def test_a_post_is_never_sent_again_after_a_timeout(front_end: FrontEnd) -> None:
    """Also when it was sent again after a 401 before: nobody knows whether it was processed."""
    service = Service(answers=[200, READ_TIMEOUT])
    client = harness(front_end, service)
    client.request()
    service.accepted.clear()
    error = client.error(ReadTimeoutError, "POST", json={"amount": 5})
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert service.calls == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_wait_for_a_token_does_not_use_up_the_attempt(front_end: FrontEnd, is_refused: bool) -> None:
    """Neither before it nor after a 401: it has its timeout for itself."""

    class Slow(Service):
        def __call__(self, request: HttpRequest) -> Any:
            if request.url == TOKEN_URL:
                client.clock.now += 5.0
            return super().__call__(request)

    service = Slow()
    client = harness(front_end, service)
    if is_refused:
        client.request()
        service.accepted.clear()
    response = client.request("POST", timeout=2.0)
    assert (response.status_code, response.attempts) == (200, 1)
    assert client.transport.timeouts[-1].total == pytest.approx(2.0)
    client.clock.now += 3600
    error = client.error(DeadlineExceededError, "POST", total_timeout=4.0)
    assert error.sent_state is SentState.NEVER_SENT


def test_a_second_401_is_returned(front_end: FrontEnd) -> None:
    """The fault is not the token's age."""
    service = Service(granted("wrong"), granted("wrong-2"))
    client = harness(front_end, service)
    response = client.request()
    assert (response.status_code, len(service.calls), len(service.fetches)) == (401, 2, 2)


def test_a_service_that_refuses_every_token_causes_no_storm_of_fetches(front_end: FrontEnd) -> None:
    """Each call would fetch a token, to no avail. Nor is a request sent twice with the same one."""
    service = Service(*(granted(f"wrong-{number}") for number in range(9)))
    client = harness(front_end, service)
    assert [client.request().status_code for _ in range(5)] == [401] * 5
    assert len(service.fetches) == 2
    assert len(service.calls) == 6
    client.clock.now += 5.0
    client.request()
    assert len(service.fetches) == 3


def test_a_resource_that_refuses_every_token_causes_no_storm_of_fetches(front_end: FrontEnd) -> None:
    """The others accept them: some services answer 401 where 403 is meant."""
    service = Service(answers=[lambda r: HttpResponse(401 if "bad" in r.url else 200, request=r)] * 99)
    client = harness(front_end, service)
    for fetches in (2, 3, 3, 3):
        assert (client.request().status_code, client.request("GET", f"{URL}/bad").status_code) == (200, 401)
        assert len(service.fetches) == fetches
    client.clock.now += 5.0
    client.request("GET", f"{URL}/bad")
    assert len(service.fetches) == 4


def test_a_body_that_was_a_stream_is_not_sent_again(front_end: FrontEnd) -> None:
    """The call returns the 401, and the next one has another token."""
    service = Service()
    client = harness(front_end, service)
    client.request()
    service.accepted.clear()
    response = client.request("POST", data=iter([b"one ", b"shot"]))
    assert (response.status_code, len(service.fetches)) == (401, 1)
    assert "its body was a stream and is consumed" in response.explain()
    assert client.request().status_code == 200


def test_a_failing_token_service_fails_the_call_and_nothing_is_sent(front_end: FrontEnd) -> None:
    """After the retries of the token request, by the client's policy. The call itself is not retried: one level retries."""
    service = Service(503, 503, 503)
    client = harness(front_end, service)
    error = client.error(TokenError, "POST", json={})
    assert (error.sent_state, error.source, service.calls) == (SentState.NEVER_SENT, TOKEN_URL, [])
    assert len(service.fetches) == 3
    assert isinstance(error.__cause__, HttpStatusError)
    assert error.__cause__.status_code == 503
    assert f"there is no token from {TOKEN_URL}: POST {TOKEN_URL} answered 503" in str(error)


def test_a_call_gets_its_token_before_its_attempt_begins(front_end: FrontEnd) -> None:
    """No interceptor runs before, and a call without a token is not counted by the circuit."""
    service = Service(503, 503, 503)
    seen: list[int] = []

    def look(request: HttpRequest, _: object) -> HttpRequest:
        seen.append(len(service.accepted))
        return request

    client = harness(front_end, service, request_interceptors=[on_request(look)])
    client.error(TokenError)
    assert (seen, client.state.breaker.snapshot().abandoned) == ([], 0)
    client.request()
    assert seen == [1]


def test_a_token_service_that_cannot_be_reached_fails_the_call(front_end: FrontEnd) -> None:
    """The cause is the error of the token request, with its own timeline."""
    client = harness(front_end, Service(REFUSED, REFUSED, REFUSED))
    error = client.error(TokenError)
    cause = error.__cause__
    assert isinstance(cause, ConnectError)
    assert cause.timeline is not None
    assert cause.explain().count("attempt 3")
    assert error.sent_state is SentState.NEVER_SENT


def test_a_client_that_is_closed_during_the_token_request_says_so(front_end: FrontEnd) -> None:
    """It is no fault of the token service."""
    client = harness(front_end, Service(already_closed()))
    assert client.error(ClientClosedError).sent_state is SentState.NEVER_SENT


def test_an_error_of_oauth_is_shown(front_end: FrontEnd) -> None:
    """Its code is an attribute too (RFC 6749, 5.2)."""
    answer = refused(
        401, error="invalid_client", error_description="no such client", error_uri="https://id/x"
    )
    error = harness(front_end, Service(answer)).error(TokenError)
    assert error.error_code == "invalid_client"
    assert str(error).endswith(
        f"POST {TOKEN_URL} answered 401 Bad: invalid_client: no such client (see https://id/x)"
    )


def test_errors_of_the_token_request_hold_no_secret(front_end: FrontEnd) -> None:
    """Neither in the message nor in what they carry."""
    answer = refused(400, error="invalid_request", error_description="s3cret-value is wrong")
    error = harness(front_end, Service(answer), auth=login(client_auth="client_secret_post")).error(
        TokenError
    )
    cause = error.__cause__
    assert "s3cret" not in str(error)
    assert "s3cret" not in str(cause)
    assert cause.request.content == b""
    assert cause.response.content == b""


def test_the_pause_that_a_token_service_asks_for_is_kept(front_end: FrontEnd) -> None:
    """429 with Retry-After: the token request waits and is sent again."""
    service = Service((429, {"Retry-After": "3"}))
    client = harness(front_end, service)
    assert client.request().status_code == 200
    assert client.sleeps == [3.0]
    assert len(service.fetches) == 2


def test_a_pause_that_is_too_long_is_reported_as_retry_after(front_end: FrontEnd) -> None:
    """And the next call does not even ask: the token service's gate is closed."""
    service = Service((429, {"Retry-After": "200"}))
    client = harness(front_end, service)
    error = client.error(TokenError)
    assert error.retry_after == 200.0
    again = client.error(TokenError)
    assert again.retry_after == pytest.approx(200.0)
    assert len(service.fetches) == 1


def test_the_token_service_has_a_circuit_of_its_own(front_end: FrontEnd) -> None:
    """It opens by the failures of token requests, and not the API's."""
    service = Service(*[503] * 9)
    breaker = CircuitBreakerPolicy(failure_threshold=3, recovery_timeout=60)
    client = harness(front_end, service, circuit_breaker_config=breaker)
    client.error(TokenError)
    error = client.error(TokenError)
    assert isinstance(error.__cause__, CircuitOpenError)
    assert error.retry_after == pytest.approx(60.0)
    assert len(service.fetches) == 3
    states = client.client.get_circuit_breaker_states()
    assert (states["https://id.example.com"], states["https://api.example.com"]) == ("open", "closed")


def test_the_token_requests_of_a_tenant_have_a_state_of_their_own(front_end: FrontEnd) -> None:
    """A tenant whose token requests are throttled troubles no other."""
    service = Service((429, {"Retry-After": "200"}))
    client = harness(front_end, service, auth=None)
    assert client.error(TokenError, auth=login(), key="a").retry_after == 200.0
    assert client.request(auth=login(), key="b").status_code == 200


def test_a_trial_of_the_same_origin_may_fetch_its_token(front_end: FrontEnd) -> None:
    """Token service and API share a circuit: the fetch must not wait for the permit that the call holds."""
    service = Service()
    breaker = CircuitBreakerPolicy(failure_threshold=1, recovery_timeout=10)
    client = harness(front_end, service, circuit_breaker_config=breaker)
    url = "https://id.example.com/api"
    assert client.request("GET", url).status_code == 200
    service.answers = [500]
    client.request("GET", url, retry_policy=False)
    client.clock.now += 11.0
    service.accepted.clear()
    assert client.request("GET", url, retry_policy=False).status_code == 200
    assert len(service.fetches) == 2


def test_a_retry_without_a_token_returns_the_outcome_before(front_end: FrontEnd) -> None:
    """What became of the request that was sent counts for more than a refusal after it."""
    service = Service(answers=[503], lifetime=100)
    client = harness(
        front_end, service, retry_policy_config=RetryPolicy(3, ConstantBackoff(96, jitter="none"))
    )
    service.grants = [granted("t1", 100), *[HttpResponse(400, url=TOKEN_URL)] * 3]
    service.accepted.add("Bearer t1")
    response = client.request()
    assert (response.status_code, response.attempts) == (503, 1)
    assert "there is no token to send" in response.explain()


def test_no_token_after_a_401_fails_the_call_with_that_response(front_end: FrontEnd) -> None:
    """The request was refused, so nothing was done."""
    service = Service()
    client = harness(front_end, service)
    client.request()
    service.accepted.clear()
    service.grants = [HttpResponse(400, url=TOKEN_URL)]
    error = client.error(TokenError, "POST", json={})
    assert (error.sent_state, error.response.status_code) == (SentState.REFUSED, 401)
    assert str(error).startswith("the request was refused (401), and there is no token from")
    assert len(service.fetches) == 2
    attempt = [event for event in client.events if event.name == "attempt_finished"][-1]
    assert attempt.answered_by == "OAuth2ClientCredentials.auth_flow"


def test_the_client_secret_never_follows_a_redirect(front_end: FrontEnd) -> None:
    """A token endpoint that redirects is reported."""
    moved = HttpResponse(307, headers={"Location": "https://elsewhere.example.com/"}, url=TOKEN_URL)
    service = Service(moved)
    error = harness(front_end, service).error(TokenError)
    assert "it answered 307, which grants nothing; set token_url to where it leads" in str(error)
    assert len(service.fetches) == 1


def test_a_token_stays_with_the_origin_of_the_call(front_end: FrontEnd) -> None:
    """A redirect to another origin drops it."""
    elsewhere = HttpResponse(302, headers={"Location": "https://other.example.com/x"})

    def redirect(request: HttpRequest) -> HttpResponse:
        elsewhere.url, elsewhere.request = request.url, request
        return elsewhere

    service = Service(answers=[redirect])
    client = harness(front_end, service)
    client.request()
    assert service.calls == ["Bearer t1", None]


def test_the_token_request_is_a_call_with_events_and_metrics(front_end: FrontEnd) -> None:
    """Named, with an id of its own; the call's own events report the wait."""
    client = harness(front_end, Service())
    client.request()
    names = [(event.name, event.call_name) for event in client.events]
    assert names == [
        ("attempt_finished", "token request"),
        ("call_finished", "token request"),
        ("token_awaited", None),
        ("attempt_finished", None),
        ("call_finished", None),
    ]
    assert len({event.call_id for event in client.events}) == 2
    assert isinstance(client.events[2], TokenAwaited)
    assert client.events[2].error is None


def test_interceptors_cookies_and_default_headers_are_not_for_the_token_service(front_end: FrontEnd) -> None:
    """They belong to the calls of the API."""

    class Adds:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            request.headers["X-Secret-Of-The-Api"] = "1"
            return request

    service = Service()
    client = harness(
        front_end, service, request_interceptors=[Adds()], default_headers={"X-Api": "1"}, cookies=True
    )
    client.request()
    assert not {"X-Secret-Of-The-Api", "X-Api", "Cookie"} & set(service.fetches[0].headers)


def test_the_wait_for_a_token_ends_with_the_deadline(front_end: FrontEnd) -> None:
    """The fetch goes on for the others."""
    import asyncio

    async def provide() -> str:
        await asyncio.Event().wait()
        return ""

    client = harness(front_end, Service(), auth=BearerToken(provide, timeout=0.5))
    error = client.error(DeadlineExceededError, total_timeout=0.01)
    assert error.sent_state is SentState.NEVER_SENT
    assert "the deadline expired while the call was waiting for a token from" in str(error)


def test_a_fetch_counts_as_lost_ten_seconds_after_its_timeout() -> None:
    """Until then all calls wait for it: one that was lost must not hold them up for ever."""
    cache = BearerToken(lambda: "t1", timeout=7.0).cache
    first = cache.look_up(100.0, 0.0).fetch
    assert cache.look_up(116.9, 0.0).fetch is first
    assert cache.look_up(117.0, 0.0).fetch is not first
