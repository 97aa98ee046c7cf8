"""What is exported for Envoy, read by Envoy's own messages."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig
from http_service_client.interchange import export, from_envoy

json_format = pytest.importorskip("google.protobuf.json_format", reason="protobuf is not installed")
routes = pytest.importorskip(
    "envoy.config.route.v3.route_components_pb2", reason="xds-protos is not installed"
)
clusters = pytest.importorskip("envoy.config.cluster.v3.cluster_pb2", reason="xds-protos is not installed")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"enable_retry_policy": False, "enable_circuit_breaker": False},
        {
            "total_timeout": 20.0,
            "retry_budget_config": {"ratio": 0.25},
            "circuit_breaker_config": {"failure_rate": 0.5, "window": 0.1234567},
            "retry_policy_config": {"retry_conditions": [], "initial_delay": 0.0},
        },
    ],
)
def test_envoy_reads_each_field(settings: dict[str, Any]) -> None:
    """Unknown fields and wrong types are errors of the parser; what it writes again, in camel case, is imported alike."""
    exported = export(HttpClientConfig(**settings), to="envoy")
    route = json_format.ParseDict(exported.document["route"], routes.RouteAction())
    cluster = json_format.ParseDict(exported.document["cluster"], clusters.Cluster())
    written = {"route": json_format.MessageToDict(route), "cluster": json_format.MessageToDict(cluster)}
    assert "retryPolicy" in written["route"] or not settings.get("enable_retry_policy", True)
    assert from_envoy(written).config == from_envoy(exported.document).config
