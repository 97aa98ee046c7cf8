"""An error about a response says what became of the request over all attempts, not in the last one alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpStatusError, ResponseValidationError, SentState
from kit.fakes import REFUSED, RESET, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

PAUSE = HttpResponse(503, headers={"Retry-After": "1"})
KEYED: dict[str, Any] = {"method": "POST", "headers": {"Idempotency-Key": "k1"}, "json": {}}


@each_row(
    ("script", "state"),
    [
        ([RESET, 400], SentState.MAYBE_PROCESSED),
        ([RESET, REFUSED, 400], SentState.MAYBE_PROCESSED),
        ([RESET, RESET, PAUSE], SentState.MAYBE_PROCESSED),
        ([500, PAUSE, PAUSE], SentState.ANSWERED),
        ([PAUSE, PAUSE, PAUSE], SentState.REFUSED),
        ([REFUSED, 400], SentState.ANSWERED),
    ],
)
def test_a_status_error_admits_the_worst_over_all_attempts(
    front_end: FrontEnd, script: list[Any], state: SentState
) -> None:
    """To charge again because the last attempt was refused would be a second charge."""
    response = Harness(front_end, *script).request(**KEYED)
    with pytest.raises(HttpStatusError) as raised:
        response.raise_for_status()
    assert (raised.value.sent_state, response.timeline.sent_state) == (state, state)
    assert pickle.loads(pickle.dumps(raised.value)).sent_state is state


def _not_as_asked(harness: Harness) -> Callable[[], object]:
    return lambda: harness.request(**KEYED, response_type=dict[str, int])


def _no_json(harness: Harness) -> Callable[[], object]:
    return harness.request(**KEYED).json


@pytest.mark.parametrize("reading", [_not_as_asked, _no_json])
def test_a_response_that_cannot_be_read_does_too(
    front_end: FrontEnd, reading: Callable[[Harness], Callable[[], object]]
) -> None:
    """A success that is no JSON, after an attempt that may have been processed."""
    read = reading(Harness(front_end, RESET, HttpResponse(200, content=b"<html>")))
    with pytest.raises(ResponseValidationError) as raised:
        read()
    assert raised.value.sent_state is SentState.MAYBE_PROCESSED


def test_so_does_an_open_stream(front_end: FrontEnd) -> None:
    """Whose call is not over yet."""
    client = Harness(front_end, RESET, 400).client
    with front_end.stream(client, url=URL, **KEYED) as response, pytest.raises(HttpStatusError) as raised:
        response.raise_for_status()
    assert raised.value.sent_state is SentState.MAYBE_PROCESSED


def test_a_response_by_hand_speaks_for_itself() -> None:
    """It has no timeline."""
    with pytest.raises(HttpStatusError) as raised:
        PAUSE.raise_for_status()
    assert raised.value.sent_state is SentState.REFUSED
