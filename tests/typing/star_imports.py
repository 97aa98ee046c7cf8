"""`from … import *`, as notebooks have it, is typed. This folder is checked by mypy and pyright, not run."""

from typing_extensions import assert_type

from http_service_client import *  # noqa: F403  # this is what is tested
from http_service_client.auth import *  # noqa: F403
from http_service_client.integrations import *  # noqa: F403
from http_service_client.observability import *  # noqa: F403
from http_service_client.policies import *  # noqa: F403


def test_a_client_is_one(client: HttpServiceClient) -> None:  # noqa: F405
    assert_type(client.get("/orders"), HttpResponse[None])  # noqa: F405
    assert_type(ResilientAdapter().client, HttpServiceClient)  # noqa: F405
    assert_type(RetryQuotaSettings().earned, float)  # noqa: F405
    assert_type(BearerToken(lambda: "t"), BearerToken)  # noqa: F405
    assert_type(OpenTelemetry(), OpenTelemetry)  # noqa: F405
