"""The call as a whole: when it is too late to begin, how it is left, and what is outside learns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConnectionLostError, HttpRequest, HttpResponse
from http_service_client.core.layers.telemetry import UnsignedHeadersLayer
from http_service_client.core.layers.whole_call import CallLayer
from http_service_client.core.nesting import CallScope, current_scope
from http_service_client.errors import Failure
from kit.fakes import RESET, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.guarded import policy_of

RESPONSE = HttpResponse(200)


def answer(request: HttpRequest, call: Any) -> Any:
    yield from ()
    return RESPONSE


def outcome_of(layer: Any, call: Any, request: HttpRequest | None = None) -> Any:
    with pytest.raises(StopIteration) as ended:
        next(layer(answer, request or call.request, call))
    return ended.value.value


@pytest.mark.parametrize("late", [-0.5, 0.0, 0.5])
def test_a_call_begins_before_its_deadline_or_not_at_all(late: float) -> None:
    """An instant that has come is past: there is no time left."""
    harness = Harness(BlockingFrontEnd())
    call = harness.client._call_builder.build("GET", URL, total_timeout=2.0)
    harness.clock.now += 2.0 + late
    outcome = outcome_of(CallLayer(), call)
    if late < 0:
        assert outcome is RESPONSE
    else:
        assert isinstance(outcome, Failure)
        assert outcome.message == (
            f"the deadline had passed {late:.3f} s before the call began; nothing was sent"
        )


def test_ctrl_c_while_a_call_is_left_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later calls of the thread would be inside this one."""
    leave = CallScope.leave
    times: list[CallScope] = []

    def interrupted_once(scope: CallScope) -> None:
        times.append(scope)
        if len(times) == 1:
            raise KeyboardInterrupt
        leave(scope)

    monkeypatch.setattr(CallScope, "leave", interrupted_once)
    call = Harness(BlockingFrontEnd()).client._call_builder.build("GET", URL)
    with pytest.raises(KeyboardInterrupt):
        next(CallLayer()(answer, call.request, call))
    assert current_scope() is None


def test_a_function_is_judged_by_the_last_call_inside_when_its_error_says_nothing(
    front_end: FrontEnd,
) -> None:
    """The call has told the scope around it how it ended."""
    harness = Harness(front_end, RESET, retry_policy_config={"max_attempts": 1})
    calling = harness.calling()

    def hiding() -> None:
        try:
            calling()
        except ConnectionLostError:
            pass
        raise LookupError

    async def hiding_async() -> None:
        try:
            await calling()
        except ConnectionLostError:
            pass
        raise LookupError

    with pytest.raises(LookupError):
        front_end.run(policy_of(2).apply(hiding_async if front_end.name == "asyncio" else hiding))
    assert harness.sends == 2


@pytest.mark.parametrize("given", [{}, {"traceparent": "1"}, {"traceparent": "1", "tracestate": "2"}])
def test_headers_that_telemetry_will_set_are_not_signed(given: dict[str, str]) -> None:
    """Whichever of them a request has. The request itself keeps them: it may be sent again elsewhere."""
    telemetry: Any = SimpleNamespace(header_names=("traceparent", "tracestate"))
    request = HttpRequest("GET", URL, headers={**given, "X-Own": "1"})
    seen: list[HttpRequest] = []

    def proceed(request: HttpRequest, call: Any) -> Any:
        seen.append(request)
        return iter(())

    call: Any = SimpleNamespace(telemetry=object())
    UnsignedHeadersLayer(telemetry)(proceed, request, call)
    assert seen[0].headers == {"X-Own": "1"}
    assert request.headers == {**given, "X-Own": "1"}
    call.telemetry = None
    UnsignedHeadersLayer(telemetry)(proceed, request, call)
    assert seen[1] is request
