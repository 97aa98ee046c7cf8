"""The bulkhead of a client: for each origin and key, around each attempt, by both front ends."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    BulkheadPolicy,
    ConfigurationError,
    HttpClientConfig,
    HttpContext,
    HttpRequest,
    HttpServiceClient,
)
from http_service_client.core.layers.bulkhead import BulkheadLayer, leave
from http_service_client.core.machines.limits.bulkhead import BulkheadPermit
from http_service_client.policies import BulkheadSettings
from kit.bulkhead_calls import harness_of, limits, reconfigure, taken
from kit.fakes import ORIGIN, REFUSED, URL
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport


@each_row("outcome", [200, 404, 503, REFUSED, RuntimeError("a bug")], ids=repr)
def test_whatever_ends_an_attempt_releases_its_permit(front_end: FrontEnd, outcome: Any) -> None:
    """And a call that found one free says nothing of it."""
    harness = harness_of(front_end, outcome, enable_retry_policy=False)
    for _ in range(3):
        try:
            harness.request()
        except Exception:
            pass
    assert harness.sends == 3
    assert harness.state.bulkhead.is_idle
    assert limits(harness) == []


def test_ctrl_c_after_an_attempt_costs_no_permit(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is released before the interruption goes on."""

    def interrupted(permit: BulkheadPermit, token: Any) -> None:
        leave(permit, token)
        raise KeyboardInterrupt

    harness = harness_of(front_end)
    monkeypatch.setattr("http_service_client.core.layers.bulkhead.leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert harness.state.bulkhead.is_idle


def test_a_streamed_response_keeps_its_permit_until_its_body_is_closed(front_end: FrontEnd) -> None:
    """As long as it is read, it occupies a connection and a worker."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1, "max_waiting": 0})
    client = front_end.client(config=config, transport=StreamingTransport(b"one", b"two"))
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b"onetwo"
        assert state_of(client).bulkhead.is_idle
    with front_end.stream(client, "GET", URL):
        assert state_of(client).bulkhead.in_use == 1
        with pytest.raises(BulkheadFullError):
            front_end.request(client, "GET", URL)
    assert state_of(client).bulkhead.is_idle


def state_of(client: HttpServiceClient) -> Any:
    return client._call_builder.origins.get(ORIGIN)


def test_a_stream_that_is_lost_releases_its_permit() -> None:
    """When it is freed."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1})
    with HttpServiceClient(config, transport=StreamingTransport(b"one")) as client:
        stream = client.stream("GET", URL)
        stream.__enter__()
        assert state_of(client).bulkhead.in_use == 1
        streams = [stream]
        del stream
        with pytest.warns(ResourceWarning):
            streams.clear()
        assert state_of(client).bulkhead.is_idle


def test_a_download_releases_its_permit(front_end: FrontEnd, tmp_path: Path) -> None:
    """Its body was read within the attempt."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1})
    client = front_end.client(config=config, transport=StreamingTransport(b"one"))
    front_end.download(client, URL, tmp_path / "file")
    assert state_of(client).bulkhead.is_idle


def test_what_an_interceptor_calls_goes_on_with_the_permit_of_its_call(front_end: FrontEnd) -> None:
    """It would wait for the call that waits for it."""

    class Asking:
        client: HttpServiceClient

        def intercept_request(self, request: HttpRequest, context: HttpContext) -> Any:
            if request.url != URL:
                return request
            if front_end.name == "asyncio":
                return self.ask(request)
            for path in ("/inner", "/again"):
                assert self.client.get(URL + path).status_code == 200
            return request

        async def ask(self, request: HttpRequest) -> HttpRequest:
            for path in ("/inner", "/again"):
                assert (await self.client.get_async(URL + path)).status_code == 200
            return request

    asking = Asking()
    harness = harness_of(front_end, request_interceptors=[asking])
    asking.client = harness.client
    assert harness.request().status_code == 200
    assert harness.sends == 3
    assert harness.state.bulkhead.is_idle


def test_each_origin_and_key_has_a_bulkhead(front_end: FrontEnd) -> None:
    """A tenant does not wait for another."""
    harness = harness_of(front_end)
    taken(harness)
    assert harness.request(key="tenant-a").status_code == 200
    assert harness.request(url="https://other.example.com/").status_code == 200
    harness.error(BulkheadFullError)


def test_partitions_by_the_name_of_a_call(front_end: FrontEnd) -> None:
    """Each has its share of the queue; a name without a partition, and a call without a name, are of the rest."""
    harness = harness_of(
        front_end, bulkhead={"max_waiting": 1, "max_wait": 0.01, "partitions": {"pay": 0.5, "sync": 0.5}}
    )
    taken(harness)
    waiting = harness.state.bulkhead.permit("sync")
    assert waiting.wait_later() is None
    error = harness.error(BulkheadFullError, name="sync")
    assert (error.reason, "partition 'sync'" in str(error)) == ("full", True)
    assert harness.error(BulkheadFullError, name="pay").reason == "max_wait"
    for options in ({"name": "unknown"}, {}):
        error = harness.error(BulkheadFullError, **options)
        assert (error.reason, "partition" in str(error)) == ("max_wait", False)


def _by_method(context: HttpContext) -> str:
    return {"GET": "read", "POST": "write"}[context.request.method]


def test_partitions_by_a_function(front_end: FrontEnd) -> None:
    """It sees the call's context. One that fails is an error of the call; nothing is sent, and no permit is lost."""
    harness = harness_of(front_end, bulkhead={"partitions": {"read": 0.5}, "partition_by": _by_method})
    assert harness.request().status_code == 200
    assert harness.request("POST").status_code == 200
    error = harness.error(ConfigurationError, "PUT")
    assert "partition_by raised KeyError: 'PUT'; nothing was sent" in str(error)
    assert harness.sends == 2
    wrong: Any = lambda context: 5  # noqa: E731
    harness = harness_of(front_end, bulkhead={"partitions": {"read": 0.5}, "partition_by": wrong})
    assert "must return the name of a partition or None, not 5" in str(harness.error(ConfigurationError))
    assert harness.state.bulkhead.is_idle


def test_a_client_is_reconfigured_while_calls_are_in_progress(front_end: FrontEnd) -> None:
    """Permits stay held. Switched off, it refuses nobody."""
    harness = harness_of(front_end)
    permit = taken(harness)
    reconfigure(harness, {"max_concurrent": 2})
    assert (harness.state.bulkhead.in_use, harness.state.bulkhead.settings.max_concurrent) == (1, 2)
    assert harness.request().status_code == 200
    reconfigure(harness, {"max_concurrent": 1, "max_waiting": 0})
    harness.error(BulkheadFullError)
    reconfigure(harness, None)
    assert harness.state.bulkhead is None
    assert harness.request().status_code == 200
    permit.release()
    reconfigure(harness, BulkheadSettings(max_concurrent=5))
    assert harness.state.bulkhead.settings.max_concurrent == 5
    assert harness.request().status_code == 200


@needs_fork
def test_a_forked_child_starts_with_all_permits(front_end: FrontEnd) -> None:
    """Their holders are threads of the parent."""
    harness = harness_of(front_end)
    taken(harness)

    def work() -> None:
        assert harness.state.bulkhead.is_idle
        assert harness.request().status_code == 200

    assert in_a_child(work) == 0
    assert harness.state.bulkhead.in_use == 1


def test_without_the_setting_there_is_no_layer() -> None:
    """A strategy that is off costs nothing."""
    with HttpServiceClient() as client:
        assert not _has_layer(client)
        client.reconfigure(HttpClientConfig(bulkhead=BulkheadPolicy(3)))
        assert _has_layer(client)


def _has_layer(client: HttpServiceClient) -> bool:
    handler: Any = client._call_builder.pipelines.call
    while handler is not None:
        function: Callable[..., Any] | None = getattr(handler, "__func__", None)
        if isinstance(getattr(function, "__self__", None), BulkheadLayer):
            return True
        handler = getattr(handler, "__self__", None)
    return False


def test_the_setting_is_a_policy_its_settings_or_a_mapping(tmp_path: Path) -> None:
    """Of which the configuration keeps the settings alone: permits are the client's."""
    settings = BulkheadSettings(max_concurrent=5, max_wait=0.25, partitions={"a": 0.5})
    for given in (
        settings,
        BulkheadPolicy(5, None, 0.25, partitions={"a": 0.5}, name="mine"),
        {"max_concurrent": 5, "max_wait": 0.25, "partitions": {"a": 0.5}},
    ):
        config = HttpClientConfig(bulkhead=given)
        assert config.bulkhead == settings
        assert pickle.loads(pickle.dumps(config)) == config
    file = tmp_path / "settings.json"
    file.write_text(
        '{"bulkhead": {"max_concurrent": "5", "max_wait": "250ms", "partitions": {"a": 0.5}}}',
        encoding="utf-8",
    )
    assert HttpClientConfig.from_file(file).bulkhead == settings
    environ = {"APP_BULKHEAD__MAX_CONCURRENT": "5", "APP_BULKHEAD__PARTITION_BY": "priority"}
    assert HttpClientConfig.from_env("APP_", environ).bulkhead == BulkheadSettings(
        max_concurrent=5, partition_by="priority"
    )


@each_row(
    ("given", "message"),
    [
        (5, r"bulkhead must be a BulkheadPolicy.*not 5; write BulkheadPolicy\(max_concurrent=5\)"),
        (True, "bulkhead must be a BulkheadPolicy, a mapping of its arguments or None, not True"),
        ({}, "bulkhead must have max_concurrent"),
        ({"max_concurent": 5}, "unknown key 'max_concurent'; did you mean 'max_concurrent'"),
        ({"max_concurrent": 5, "name": "x"}, "unknown key 'name'"),
        ({"max_concurrent": 0}, "max_concurrent must be"),
    ],
)
def test_a_wrong_setting_is_refused(given: Any, message: str) -> None:
    """When the configuration is made."""
    with pytest.raises(ConfigurationError, match=message):
        HttpClientConfig(bulkhead=given)
