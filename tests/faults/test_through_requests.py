"""While something is hooked into requests, the faults of the matrix that nothing waits for end in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from faults.runner import PROMPT, TIMEOUT, Servers, run
from faults.table import FAULTS, Fault
from faults.test_fault_matrix import expected
from http_service_client import HttpServiceClient
from kit.front_ends import FrontEnd
from kit.hooks import HookedFrontEnd
from kit.metronome import Metronome
from network.faults import Certificates


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.seconds], ids=str)
def test_a_fault(
    fault: Fault, certificates: Certificates, strangers: Certificates, metronome: Metronome
) -> None:
    """One attempt of a POST: the same error, the same sent-state, and nothing is left acquired."""

    def act(front_end: FrontEnd, client: HttpServiceClient, url: str, call_id: str) -> Any:
        options: dict[str, Any] = {"timeout": TIMEOUT, **fault.options, "retry_policy": None}
        return front_end.request(
            client, "POST", url, headers={"X-Call": call_id}, data=fault.upload, **options
        )

    with Servers(certificates, strangers) as servers, HookedFrontEnd() as front_end:
        end = run(front_end, servers, fault.setup, act, metronome)
    taken = min(expected(fault, "POST")[3], 1)
    found = (end.result, end.sent, end.attempts, len(end.seen))
    assert found == (fault.error, fault.sent, 1, taken), end.message
    assert end.seconds <= PROMPT
    assert end.left_over == []
    assert "Session.send" in front_end.called
