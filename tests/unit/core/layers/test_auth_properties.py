"""Whatever a flow yields and whatever servers respond, a POST is sent again only when it was not applied."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from http_service_client import (
    ConstantBackoff,
    HttpClientConfig,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    SentState,
)
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import URL

TOKEN_URL = "https://id.example.com/token"
NOT_APPLIED = {400, 401, 403, 407}
OUTCOMES: dict[str, Any] = {
    **{
        str(status): HttpResponse(status)
        for status in (200, 400, 401, 403, 404, 407, 408, 409, 429, 500, 503)
    },
    "refused": ConnectionRefusedError(),
    "reset": ConnectionResetError(),
    "timeout": TimeoutError(),
}
POLICY = RetryPolicy(
    4,
    ConstantBackoff(0.1, jitter="none"),
    retry_conditions=[*RetryCondition.defaults(), RetryCondition.on_status_codes([400, 401, 403, 407, 409])],
)


class Flow:
    """Yields as it is told: the call's own request, or one to a token endpoint."""

    def __init__(self, steps: list[bool]) -> None:
        self.steps = steps

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        for is_own in self.steps:
            yield request if is_own else HttpRequest("POST", TOKEN_URL)


@given(
    st.lists(st.booleans(), max_size=7),
    st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=12),
    st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=12),
)
def test_a_post_is_sent_again_only_when_it_was_not_applied(
    steps: list[bool], responses: list[str], tokens: list[str]
) -> None:
    """Over all attempts and all exchanges; and the error knows the worst that may have happened."""
    clock = VirtualClock()
    script = {URL: [OUTCOMES[name] for name in responses], TOKEN_URL: [OUTCOMES[name] for name in tokens]}
    transport = ScriptedTransport(script, clock=clock)
    client = HttpServiceClient(HttpClientConfig(retry_policy_config=POLICY), transport=transport, clock=clock)
    error = None
    try:
        client.post(URL, json={"amount": 5}, auth=Flow(steps))
    except HttpClientError as raised:
        error = raised
    own = [each.outcome for each in transport.sent if each.request.url == URL]
    for outcome in own[:-1]:
        is_refused = outcome.sent_state in (SentState.NEVER_SENT, SentState.REFUSED)
        assert is_refused or getattr(outcome, "status_code", None) in NOT_APPLIED
    may_be_processed = any(outcome.sent_state is SentState.MAYBE_PROCESSED for outcome in own)
    if error is not None:
        assert may_be_processed == (error.sent_state is SentState.MAYBE_PROCESSED)
        if not any(outcome.sent_state is not SentState.NEVER_SENT for outcome in own):
            assert error.sent_state is SentState.NEVER_SENT
