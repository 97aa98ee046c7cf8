"""The order of the headers of a call."""

from __future__ import annotations

from kit.fakes import Harness
from kit.front_ends import FrontEnd


def test_the_headers_of_a_call_come_last_in_their_order(front_end: FrontEnd) -> None:
    """Also those that replace one of the client: a server may care, and a person who reads them does."""
    harness = Harness(front_end, default_headers={"X-A": "1", "X-B": "2"})
    harness.request(headers={"X-C": "3", "x-a": "4", "Accept-Encoding": "br"})
    sent = harness.transport.sent[0].headers.multi_items()
    own = [field for field in sent if field[0] not in ("User-Agent", "Accept", "Connection")]
    assert own == [("X-B", "2"), ("X-C", "3"), ("x-a", "4"), ("Accept-Encoding", "br")]
