"""`client.poll`: from "accepted" to the result of an operation, with one deadline."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import (
    Cache,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    HttpResponse,
    HttpServiceClient,
    PollingError,
    deadline,
)
from http_service_client.http.http1.framing import field_text
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/reports"
JOB = "https://api.example.com/jobs/7"


def accepted(
    retry_after: str | None = None, location: str | None = "/jobs/7", status: int = 202
) -> HttpResponse:
    """The service goes on with the operation."""
    headers = {"Location": location, "Retry-After": retry_after}
    return HttpResponse(status, headers={name: value for name, value in headers.items() if value is not None})


class Service:
    """A client of a service that accepts an operation."""

    def __init__(self, front_end: FrontEnd, *script: Any, **options: Any) -> None:
        self.clock = VirtualClock()
        self.transport = ScriptedTransport(list(script), clock=self.clock)
        self.front_end = front_end
        self.client = front_end.client(transport=self.transport, clock=self.clock, **options)

    def poll(self, **options: Any) -> HttpResponse:
        first = self.front_end.request(self.client, "POST", URL)
        return self.front_end.poll(self.client, first, **options)

    @property
    def looks(self) -> list[tuple[str, str]]:
        return [(request.method, request.url) for request in self.transport.requests[1:]]


def test_it_looks_until_there_is_a_result(front_end: FrontEnd) -> None:
    """At the Location, after as long as the service asks for."""
    service = Service(
        front_end,
        accepted("5"),
        accepted("2.5", None),
        accepted(None, None),
        HttpResponse(200, content="done"),
    )
    assert service.poll(interval=3.0).text == "done"
    assert service.looks == [("GET", JOB)] * 3
    assert service.clock.waits == [5.0, 2.5, 3.0]


@each_row(("options", "wait"), [({}, 1.0), ({"interval": 0}, 0.1), ({"interval": 0.5}, 0.5)])
def test_the_interval_is_a_second_if_nobody_says_otherwise(
    front_end: FrontEnd, options: dict[str, Any], wait: float
) -> None:
    """And never less than a tenth of one."""
    service = Service(front_end, accepted(), HttpResponse(200))
    service.poll(**options)
    assert service.clock.waits == [wait]


def test_an_operation_behind_a_unix_socket_is_followed(front_end: FrontEnd) -> None:
    """Its Location is relative: the service does not know how it was reached."""
    service = Service(
        front_end, accepted(), HttpResponse(200, content="done"), base_url="http+unix://%2Frun%2Fapp.sock"
    )
    first = front_end.request(service.client, "POST", "/reports")
    assert front_end.poll(service.client, first).text == "done"
    assert service.looks == [("GET", "http+unix://%2Frun%2Fapp.sock/jobs/7")]


def twice(*locations: str) -> HttpResponse:
    return HttpResponse(202, headers=[("Location", each) for each in locations])


def test_two_locations_that_are_one_are_followed(front_end: FrontEnd) -> None:
    """As those of a redirect."""
    service = Service(front_end, twice("/jobs/7", "/jobs/7"), twice("/jobs/7", "/jobs/7"), HttpResponse(200))
    service.poll()
    assert service.looks == [("GET", JOB)] * 2


@pytest.mark.parametrize("looks", [0, 1])
def test_two_locations_that_differ_are_not_followed(front_end: FrontEnd, looks: int) -> None:
    """Nor are those of a redirect: which one is meant? The other may be injected."""
    service = Service(front_end, *[accepted()] * looks, twice("/jobs/7", "/jobs/8"))
    with pytest.raises(PollingError, match=r"cannot be followed: it has more than one Location$"):
        service.poll()
    assert service.looks == [("GET", JOB)] * looks


def test_a_location_that_is_not_utf8_is_followed(front_end: FrontEnd) -> None:
    """With its octets as they came, as a redirect is."""
    location = field_text(b"/jobs/\xe9")
    service = Service(front_end, HttpResponse(202, headers=[("Location", location)]), HttpResponse(200))
    service.poll()
    assert service.looks == [("GET", "https://api.example.com/jobs/%E9")]


def test_a_result_that_is_there_is_returned(front_end: FrontEnd) -> None:
    """Nothing is sent, and no Location is needed."""
    service = Service(front_end, HttpResponse(201, content="done"))
    assert (service.poll().text, service.looks, service.clock.waits) == ("done", [], [])


@each_row("status", [200, 303, 404, 500])
def test_any_other_status_is_the_result(front_end: FrontEnd, status: int) -> None:
    """Whatever it is; a redirect leads to it."""
    there = HttpResponse(303, headers={"Location": "/reports/7"}) if status == 303 else HttpResponse(status)
    service = Service(
        front_end, accepted(), there, HttpResponse(200), retry_policy_config={"max_attempts": 1}
    )
    response = service.poll()
    assert response.status_code == (200 if status == 303 else status)
    assert response.url == ("https://api.example.com/reports/7" if status == 303 else JOB)


@each_row("locations", [["https://elsewhere.test/7"], ["/7", "/8"], ["https://[/"]])
def test_a_location_of_the_result_is_the_caller_s(front_end: FrontEnd, locations: list[str]) -> None:
    """Nobody looks there, so it may lead anywhere."""
    result = HttpResponse(201, headers=[("Location", location) for location in locations])
    service = Service(front_end, accepted(), result)
    assert service.poll() is not None
    assert service.looks == [("GET", JOB)]


def test_a_later_location_replaces_the_first(front_end: FrontEnd) -> None:
    """The operation moved on; relative to the URL that said so."""
    service = Service(front_end, accepted(), accepted(location="8?part=2"), HttpResponse(200))
    service.poll()
    assert service.looks == [("GET", JOB), ("GET", "https://api.example.com/jobs/8?part=2")]


def test_the_body_may_say_that_it_goes_on(front_end: FrontEnd) -> None:
    """`is_done` is asked about each success, and about nothing else."""
    running, done = HttpResponse(200, json={"status": "running"}), HttpResponse(200, json={"status": "done"})
    service = Service(front_end, running, running, done)
    response = service.poll(url="/jobs/7", is_done=lambda it: it.json()["status"] == "done")
    assert (response.json(), service.looks) == ({"status": "done"}, [("GET", JOB)] * 2)
    service = Service(front_end, accepted(), HttpResponse(404))
    assert service.poll(is_done=lambda it: False).status_code == 404


def test_an_awaitable_of_is_done_is_an_error(front_end: FrontEnd) -> None:
    """It is always true: the first response would be taken for the result."""
    service = Service(front_end, accepted(), HttpResponse(200))

    class Awaitable:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits it")

    with pytest.raises(TypeError, match="which nobody awaits; it must be a plain function"):
        service.poll(is_done=lambda it: Awaitable())


def test_a_failed_look_is_retried(front_end: FrontEnd) -> None:
    """Each is a call with the client's policies."""
    service = Service(front_end, accepted(), HttpResponse(503), HttpResponse(200, content="done"))
    assert service.poll().text == "done"
    assert len(service.looks) == 2


def test_one_deadline_bounds_all(front_end: FrontEnd) -> None:
    """A wait that would cross it is not begun, and the error has the last response."""
    service = Service(front_end, *[accepted("4")] * 3, HttpResponse(200))
    with pytest.raises(
        DeadlineExceededError, match=r"still going on, and the next look, in 4 s, .* within 10 s"
    ) as caught:
        service.poll(total_timeout=10.0)
    assert service.clock.waits == [4.0, 4.0]
    assert caught.value.response is not None
    assert caught.value.response.status_code == 202
    assert caught.value.sent_state.value == "answered"


def test_a_look_at_the_very_deadline_is_too_late(front_end: FrontEnd) -> None:
    """There would be no time for its response."""
    service = Service(front_end, accepted("4"), HttpResponse(200))
    with pytest.raises(DeadlineExceededError, match=r"would not be within 4 s \(total_timeout\)$"):
        service.poll(total_timeout=4.0)
    assert service.clock.waits == []


def test_the_error_names_the_limit_that_ended_it(front_end: FrontEnd) -> None:
    """Its own, if a deadline around it is further away."""
    service = Service(front_end, accepted("40"))
    with deadline(300.0), pytest.raises(DeadlineExceededError, match=r"within 10 s \(total_timeout\)$"):
        service.poll(total_timeout=10.0)


def test_of_two_equal_limits_the_outer_one_is_named(front_end: FrontEnd) -> None:
    """The caller of the caller set it, and it would end the rest, too."""
    service = Service(front_end, accepted("40"), HttpResponse(200))
    with (
        deadline(10.0, clock=service.clock.monotonic),
        pytest.raises(DeadlineExceededError, match=r"would not be within the deadline$"),
    ):
        service.poll(total_timeout=10.0)


def test_a_look_has_what_is_left_of_it(front_end: FrontEnd) -> None:
    """A slow look ends with the deadline of all."""
    service = Service(front_end, accepted("4"), late(20.0, HttpResponse(200)))
    with pytest.raises(DeadlineExceededError):
        service.poll(total_timeout=10.0)
    assert service.transport.sent[-1].timeout.total == pytest.approx(6.0)


def test_a_look_that_has_no_time_left_ends_at_once(front_end: FrontEnd) -> None:
    """By its own deadline, of a billionth of a second."""
    service = Service(front_end, accepted("4"), HttpResponse(200))
    service.poll(total_timeout=4.0 + 1e-10)
    assert service.transport.sent[-1].timeout.total == pytest.approx(1e-9, rel=0.01)


def test_an_outer_deadline_bounds_it(front_end: FrontEnd) -> None:
    """As it bounds every call inside its block."""
    for options in ({}, {"total_timeout": 300.0}):
        service = Service(front_end, accepted("40"))
        with deadline(10.0), pytest.raises(DeadlineExceededError, match="within the deadline"):
            service.poll(**options)
        assert service.clock.waits == []


def test_the_clients_own_timeout_is_the_default(front_end: FrontEnd) -> None:
    """`total_timeout` of the configuration; None is no limit."""
    service = Service(front_end, accepted("40"), HttpResponse(200), total_timeout=10.0)
    with pytest.raises(DeadlineExceededError):
        service.poll()
    service = Service(front_end, accepted("40"), HttpResponse(200), total_timeout=10.0)
    assert service.poll(total_timeout=None).status_code == 200


def test_a_wait_of_zero_is_no_busy_loop(front_end: FrontEnd) -> None:
    """At least a tenth of a second."""
    service = Service(front_end, accepted("0"), HttpResponse(200))
    service.poll()
    assert service.clock.waits == [0.1]


@pytest.mark.parametrize("location", ["https://evil.example.net/jobs/7", "http://api.example.com/jobs/7"])
def test_credentials_stay_at_their_origin(front_end: FrontEnd, location: str) -> None:
    """The service chooses the URL; another origin must be allowed."""
    service = Service(front_end, accepted(location=location), HttpResponse(200))
    with pytest.raises(PollingError, match="at another origin"):
        service.poll()
    assert service.looks == []


def test_another_origin_may_be_allowed(front_end: FrontEnd) -> None:
    """By its name."""
    there = "https://jobs.example.com/7"
    service = Service(front_end, accepted(location=there), HttpResponse(200))
    service.poll(allowed_origins=["https://jobs.example.com"])
    assert service.looks == [("GET", there)]


def test_a_later_location_must_stay_as_well(front_end: FrontEnd) -> None:
    """Also when the operation moves."""
    service = Service(front_end, accepted(), accepted(location="https://evil.example.net/"))
    with pytest.raises(PollingError, match="at another origin"):
        service.poll()


STRANGER = "https://evil.example.net"
TO_A_STRANGER = HttpResponse(307, headers={"Location": f"{STRANGER}/reports"})
BACK = HttpResponse(307, headers={"Location": URL})


def test_a_redirect_is_no_leave_to_send_credentials_there(front_end: FrontEnd) -> None:
    """Redirects leave the credentials behind, so the looks must not bring them."""
    service = Service(front_end, TO_A_STRANGER, accepted(), HttpResponse(200), auth="secret")
    with pytest.raises(
        PollingError, match=r"at another origin, https://evil\.example\.net, .*api\.example\.com"
    ):
        service.poll()
    assert [url for _, url in service.looks] == [f"{STRANGER}/reports"]
    service = Service(front_end, TO_A_STRANGER, accepted(), HttpResponse(200), auth="secret")
    assert service.poll(allowed_origins=[STRANGER]).url == f"{STRANGER}/jobs/7"


def test_a_redirect_back_leads_to_the_callers_origin(front_end: FrontEnd) -> None:
    """It is the one that the call was made to."""
    service = Service(front_end, TO_A_STRANGER, BACK, accepted(), HttpResponse(200))
    assert service.poll().url == JOB


def test_a_kept_request_that_had_left_its_origin_is_no_leave_either(front_end: FrontEnd) -> None:
    """`send` withholds the credentials from it, and so does `poll`."""
    service = Service(
        front_end, TO_A_STRANGER, HttpResponse(503), accepted(), HttpResponse(200), auth="secret"
    )
    kept = front_end.request(service.client, "POST", URL, retry_policy=None).request
    with pytest.raises(PollingError, match="at another origin"):
        front_end.poll(service.client, front_end.send(service.client, kept))


@each_row("location", [None, "ftp://api.example.com/7", "https://["])
def test_without_a_url_there_is_nothing_to_look_at(front_end: FrontEnd, location: str | None) -> None:
    """The error says what to do."""
    service = Service(front_end, accepted(location=location))
    with pytest.raises(PollingError, match="pass url=" if location is None else "cannot be used"):
        service.poll()


@pytest.mark.parametrize(
    ("url", "words"), [(URL, f"the operation accepted by {URL} cannot be"), ("", "the operation cannot be")]
)
def test_the_error_names_the_url_of_the_operation_if_there_is_one(
    front_end: FrontEnd, url: str, words: str
) -> None:
    """A response that was made by hand has none."""
    service = Service(front_end, HttpResponse(200))
    with pytest.raises(PollingError, match=f"^{words} followed: it has no Location"):
        front_end.poll(service.client, HttpResponse(202, url=url))


def test_only_the_result_is_validated(front_end: FrontEnd) -> None:
    """Not the 202 before it."""
    pytest.importorskip("pydantic")

    service = Service(front_end, accepted(), HttpResponse(200, json=[3]))
    assert service.poll(response_type=list[int]).data == [3]
    service = Service(front_end, accepted(), HttpResponse(200, json=[]))
    with pytest.raises(ConfigurationError):
        service.poll(response_type=list["Nowhere"])  # type: ignore[name-defined] # noqa: F821
    assert service.looks == []


def test_an_error_is_a_result_without_data(front_end: FrontEnd) -> None:
    """Its status says more than that its body is of another type."""
    service = Service(front_end, accepted(), HttpResponse(404, content="gone"))
    response = service.poll(response_type=list[int])
    assert (response.status_code, response.data) == (404, None)


def test_a_response_made_by_hand_can_be_followed(front_end: FrontEnd) -> None:
    """Such as one that another process stored; its URL says which origin is trusted."""
    service = Service(front_end, HttpResponse(200, content="done"))
    stored = HttpResponse(202, url=URL, headers={"Location": "/jobs/7"})
    assert front_end.poll(service.client, stored).text == "done"
    assert [request.url for request in service.transport.requests] == [JOB]


def test_of_a_response_made_by_hand_its_own_origin_is_trusted(front_end: FrontEnd) -> None:
    """And not those that its history names: nobody knows whether they had the credentials."""
    service = Service(front_end, HttpResponse(200))
    history = [HttpResponse(307, url=f"{STRANGER}/reports")]
    by_hand = HttpResponse(202, headers={"Location": f"{STRANGER}/7"}, url=URL, history=history)
    with pytest.raises(PollingError, match="at another origin"):
        front_end.poll(service.client, by_hand)


def test_a_closed_client_does_not_look(front_end: FrontEnd) -> None:
    """Closing ends the wait, and the next look is refused."""
    client = HttpServiceClient(transport=ScriptedTransport([accepted("60")]))
    first = front_end.request(client, "POST", URL)
    has_begun, errors = threading.Event(), list[Exception]()

    def poll() -> None:
        try:
            front_end.poll(client, first, is_done=lambda it: has_begun.set())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    assert has_begun.wait(20)
    client.close()
    thread.join(20)
    assert [type(error) for error in errors] == [ClientClosedError]


@each_row(
    ("keyword", "remedy"),
    [
        ("headers", r"write client\.with_options\(default_headers=…\)\.poll\(accepted\)"),
        ("auth", r"write client\.with_options\(auth=…\)\.poll\(accepted\)"),
        ("intervall", r"did you mean 'interval'\?"),
        ("params", "add them to url"),
        ("json", "see its docstring"),
    ],
)
def test_a_keyword_of_a_call_names_the_remedy(front_end: FrontEnd, keyword: str, remedy: str) -> None:
    """A look is no call of the caller's; it has the settings of the client, or of a view."""
    service = Service(front_end, accepted())
    with pytest.raises(TypeError, match=rf"takes no keyword '{keyword}'; {remedy}$"):
        service.poll(**{keyword: 1})
    assert inspect.iscoroutinefunction(service.client.poll_async)


def test_a_cache_does_not_answer_a_look(front_end: FrontEnd) -> None:
    """A stored "it goes on" would hide the result for as long as it is fresh."""
    fresh = {"Cache-Control": "max-age=60"}
    service = Service(
        front_end,
        accepted(),
        HttpResponse(202, headers=fresh),
        HttpResponse(200, content="done", headers=fresh),
        cache=Cache(),
    )
    assert service.poll().text == "done"
    assert len(service.looks) == 2


@pytest.mark.parametrize(("cache", "header"), [(Cache(), "no-cache"), (None, None)])
def test_a_look_asks_caches_for_what_is_current(
    front_end: FrontEnd, cache: Cache | None, header: str | None
) -> None:
    """If the client has one. Other clients send what they are told to."""
    service = Service(front_end, accepted(), HttpResponse(200), cache=cache)
    service.poll()
    assert service.transport.requests[-1].headers.get("Cache-Control") == header


async def async_is_done(response: HttpResponse) -> bool:
    return True


@each_row(
    ("wrong", "words"),
    [
        ({"interval": -1}, "interval must be"),
        ({"interval": "1"}, "interval must be"),
        ({"total_timeout": 0}, "total_timeout must be"),
        ({"is_done": 5}, "is_done must be a plain function of a response, or None, not 5"),
        ({"is_done": async_is_done}, "is_done must be a plain function"),
        ({"allowed_origins": "https://a.test"}, r"allowed_origins must be a list .* \['https://a.test'\]"),
        ({"url": 5}, "the operation accepted by .* its URL cannot be used"),
        ({"path_params": {"id": 7}}, "path_params is for the placeholders of url; pass url=, too"),
    ],
)
def test_a_wrong_argument_is_an_error(front_end: FrontEnd, wrong: dict[str, Any], words: str) -> None:
    """Before anything is sent."""
    service = Service(front_end, accepted(), HttpResponse(200))
    with pytest.raises((ConfigurationError, PollingError), match=f"^{words}"):
        service.poll(**wrong)
    assert service.looks == []


class Pending:
    """As the coroutine of a call that nobody awaited."""

    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (JOB, "not str; pass the response to that request, and the URL to look at as url="),
        (Pending(), "not Pending; await it first"),
        (None, "not NoneType; write client.poll(client.post(…))"),
    ],
)
def test_it_takes_a_response(given: Any, says: str) -> None:
    """Not its URL, and not a call that nobody awaited."""
    client = HttpServiceClient(transport=ScriptedTransport([accepted()]))
    with pytest.raises(ConfigurationError, match=f"poll takes the response .*, {re.escape(says)}$"):
        client.poll(given)
