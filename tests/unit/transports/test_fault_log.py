"""The log of the faults that are tolerated."""

from __future__ import annotations

import logging

import pytest

from http_service_client.http.http1.rules import RULES
from http_service_client.transports import fault_log
from http_service_client.transports.fault_log import FaultLog

ONE, OTHER = RULES["bare-cr"], RULES["missing-colon"]


def test_each_origin_and_rule_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With what an operator needs to report it."""
    caplog.set_level(logging.INFO, "http_service_client")
    log, records = FaultLog(), caplog.records
    for origin in ("https://a.test", "https://b.test"):
        report = log.for_origin(origin)
        for rule in (ONE, OTHER, ONE):
            report(rule)
    assert [(record.http_key, record.http_rule) for record in records] == [  # type: ignore[attr-defined]
        ("https://a.test", "bare-cr"),
        ("https://a.test", "missing-colon"),
        ("https://b.test", "bare-cr"),
        ("https://b.test", "missing-colon"),
    ]
    assert records[0].http_event == "fault_tolerated"  # type: ignore[attr-defined]
    assert records[0].getMessage() == (
        f"https://a.test: tolerated a fault of a response: {ONE.text} (bare-cr; {ONE.section}); {ONE.remedy}, and the "
        "connection is closed"
    )


def test_a_crawler_fills_no_memory(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many origins, nothing more is remembered or logged."""
    caplog.set_level(logging.INFO, "http_service_client")
    monkeypatch.setattr(fault_log, "_MOST", 2)
    log = FaultLog()
    for number in range(4):
        log.for_origin(f"https://{number}.test")(ONE)
    assert len(caplog.records) == len(log._logged) == 2


def test_ten_thousand_faults_are_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """More origins than a client that is no crawler has."""
    caplog.set_level(logging.INFO, "http_service_client")
    log = FaultLog()
    log._logged = {(str(number), ""): None for number in range(9_999)}
    for origin in ("https://a.test", "https://b.test"):
        log.for_origin(origin)(ONE)
    assert [record.http_key for record in caplog.records] == ["https://a.test"]  # type: ignore[attr-defined]
