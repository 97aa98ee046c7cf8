"""Errors that are of ours and of another library, and what a hostile response makes of a retry."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import requests

from http_service_client import CircuitOpenError, HttpClientConfig
from http_service_client.integrations.adapter_base import joined_error


@pytest.mark.parametrize("name", ["request", "response", "_request"])
def test_no_message_of_the_library_is_in_a_pickle(name: str) -> None:
    """It may hold credentials."""
    error: Any = joined_error(CircuitOpenError, requests.RequestException)("open")
    setattr(error, name, "Bearer s3cret")
    assert b"s3cret" not in pickle.dumps(error)
    assert getattr(error.redacted(), name, None) is None


@pytest.mark.parametrize("length", ["9" * 5000, "nine", "-1"])
def test_a_length_of_any_kind_leaves_the_retry(length: str) -> None:
    """Python refuses to read a number of 5,000 digits."""
    httpx = pytest.importorskip("httpx", reason="it is not installed here")
    responses = [httpx.Response(503, headers={"Content-Length": length}), httpx.Response(200)]
    inner = httpx.MockTransport(lambda request: responses.pop(0))
    from http_service_client.integrations import ResilientTransport

    config = HttpClientConfig(retry_policy_config={"initial_delay": 0.001})
    with httpx.Client(transport=ResilientTransport(config, transport=inner)) as client:
        assert client.get("http://a.test/").status_code == 200
