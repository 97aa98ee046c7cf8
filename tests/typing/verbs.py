"""The right keywords of each verb are accepted, the wrong ones rejected. Checked by mypy and pyright, not run.

A `type: ignore` that is not needed is an error of its own, so each one below proves a rejection.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Callable, Generator

from typing_extensions import Unpack, assert_type

from http_service_client import (
    CircuitBreakerPolicy,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    SendOptions,
    Timeout,
)
from http_service_client.auth import AwsSigV4, BearerToken, Digest, HmacSignature, OAuth2ClientCredentials
from http_service_client.client.keywords import RequestOptions


class Refreshing:
    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        yield request


def right_keywords(client: HttpServiceClient, show: Callable[[int, int | None], object]) -> None:
    assert_type(client.get("/", params={"page": 2}, headers={"Accept": "*/*"}), HttpResponse[None])
    assert_type(client.get("/{a}", path_params={"a": 1}), HttpResponse[None])
    assert_type(client.post("/", json={"a": 1}, idempotent=True, progress=show), HttpResponse[None])
    assert_type(client.put("/", data=b"x", timeout=Timeout(total=3.0, read=1.0)), HttpResponse[None])
    assert_type(client.patch("/", json=[], auth=("user", "password")), HttpResponse[None])
    assert_type(client.patch("/", auth=Digest("user", "password")), HttpResponse[None])
    assert_type(client.patch("/", auth=Refreshing()), HttpResponse[None])
    login = OAuth2ClientCredentials(token_url="https://id", client_id="a", client_secret="b", scope=["c"])
    assert_type(client.patch("/", auth=login), HttpResponse[None])
    assert_type(client.patch("/", auth=BearerToken(lambda refused: ("t", 60))), HttpResponse[None])
    HttpClientConfig(auth=login, request_signers=[HmacSignature("k"), AwsSigV4("s3", "eu-central-1")])
    assert_type(client.patch("/", auth=False), HttpResponse[None])
    assert_type(client.delete("/", timeout=None, total_timeout=5), HttpResponse[None])
    assert_type(client.head("/", allow_redirects=False), HttpResponse[None])
    assert_type(client.options("/", retry_policy=False, circuit_breaker=None), HttpResponse[None])
    assert_type(client.query("/", json={"select": ["name"]}), HttpResponse[None])
    assert_type(client.request("GET", "/", retry_policy=RetryPolicy(max_attempts=2)), HttpResponse[None])
    client.request("GET", "/", circuit_breaker=CircuitBreakerPolicy(), response_type=list[int])
    client.download("/", "file", checksum="sha256:00", max_response_size=None, progress=True)


async def right_keywords_async(client: HttpServiceClient) -> None:
    assert_type(await client.get_async("/", params=[("page", 2)]), HttpResponse[None])
    assert_type(await client.get_async("/{a}", path_params={"a": "b"}), HttpResponse[None])
    assert_type(await client.post_async("/", json={"a": 1}, files={"f": b""}), HttpResponse[None])
    assert_type(await client.put_async("/", data="x"), HttpResponse[None])
    assert_type(await client.patch_async("/", headers=[("X-A", "1")]), HttpResponse[None])
    assert_type(await client.delete_async("/", cookies={"a": "b"}), HttpResponse[None])
    assert_type(await client.head_async("/", timeout=1.5), HttpResponse[None])
    assert_type(await client.options_async("/", auth="token"), HttpResponse[None])
    assert_type(await client.query_async("/", json={"select": ["name"]}), HttpResponse[None])
    assert_type(await client.request_async("GET", "/", idempotent=None), HttpResponse[None])
    assert_type(await client.download_async("/", "file", total_timeout=60.0), HttpResponse)


def wrong_keywords(client: HttpServiceClient) -> None:
    client.get("/", verify=False)  # type: ignore[call-arg]
    client.post("/", jsn={})  # type: ignore[call-arg]
    client.put("/", content=b"x")  # type: ignore[call-arg]
    client.patch("/", stream=True)  # type: ignore[call-arg]
    client.delete("/", max_response_size=5)  # type: ignore[call-arg]
    client.head("/", follow_redirects=True)  # type: ignore[call-arg]
    client.options("/", checksum="sha256:00")  # type: ignore[call-arg]
    client.request("GET", "/", retries=3)  # type: ignore[call-arg]
    client.stream("GET", "/", response_type=int)  # type: ignore[call-arg]
    client.download("/", "file", method="POST")  # type: ignore[call-arg]
    HttpClientConfig(timeout=5)  # type: ignore[call-arg]


async def wrong_keywords_async(client: HttpServiceClient) -> None:
    await client.get_async("/", verify=False)  # type: ignore[call-arg]
    await client.post_async("/", jsn={})  # type: ignore[call-arg]
    await client.put_async("/", content=b"x")  # type: ignore[call-arg]
    await client.patch_async("/", stream=True)  # type: ignore[call-arg]
    await client.delete_async("/", max_response_size=5)  # type: ignore[call-arg]
    await client.head_async("/", follow_redirects=True)  # type: ignore[call-arg]
    await client.options_async("/", checksum="sha256:00")  # type: ignore[call-arg]
    await client.request_async("GET", "/", retries=3)  # type: ignore[call-arg]
    client.stream_async("GET", "/", response_type=int)  # type: ignore[call-arg]
    await client.download_async("/", "file", method="POST")  # type: ignore[call-arg]


def wrong_values(client: HttpServiceClient) -> None:
    client.get("/", timeout="5")  # type: ignore[arg-type]
    client.post("/", total_timeout=Timeout(total=5.0))  # type: ignore[arg-type]
    client.put("/", allow_redirects=None)  # type: ignore[arg-type]
    client.patch("/", retry_policy=3)  # type: ignore[arg-type]
    client.delete("/", circuit_breaker=RetryPolicy())  # type: ignore[arg-type]
    client.head("/", headers="X-A: 1")  # type: ignore[arg-type]
    client.options("/", auth=("user",))  # type: ignore[arg-type]
    client.request("GET", "/", progress=print, idempotent="yes")  # type: ignore[arg-type]
    client.stream("GET", "/", max_response_size="5")  # type: ignore[arg-type]
    client.download("/", "file", checksum=5)  # type: ignore[arg-type]
    client.paginate("/", max_pages="5")  # type: ignore[arg-type]
    client.paginate("/", next=lambda response: response.status_code)  # type: ignore[arg-type,return-value]
    HttpClientConfig(base_timeout="30")  # type: ignore[arg-type]


def passed_on(client: HttpServiceClient) -> HttpResponse:
    """Keywords that are kept in a dict are checked where it is made."""
    options: RequestOptions = {"timeout": 3.0, "idempotent": True}
    wrong: RequestOptions = {"tmeout": 3.0}  # type: ignore[typeddict-unknown-key]
    client.get("/", **wrong)
    return client.post("/", **options)


def order(client: HttpServiceClient, number: int, **options: Unpack[SendOptions]) -> HttpResponse[int]:
    """A function that sets the path and the type itself takes all other keywords, and no second ones of these."""
    return client.get("/orders/{n}", path_params={"n": number}, response_type=int, **options)


def orders(client: HttpServiceClient) -> None:
    order(client, 42, timeout=3.0, retry_policy=False)
    order(client, 42, path_params={})  # type: ignore[call-arg]
    order(client, 42, timeout="3")  # type: ignore[arg-type]


def views(client: HttpServiceClient) -> HttpResponse:
    """A view is a client, and its options are checked."""
    view: HttpServiceClient = client.with_options(timeout=5.0, auth=("user", "pw"), key="a", proxy={})
    client.with_options(timout=5.0)  # type: ignore[call-arg]
    client.with_options(key=7)  # type: ignore[arg-type]
    client.reconfigure_circuit_breakers(failure_threshold=3)
    client.reconfigure_circuit_breakers(failure_treshold=3)  # type: ignore[call-arg]
    CircuitBreakerPolicy().reconfigure(on_change=print, exclude=[KeyError])
    return view.with_options(base_url=None).get("/")
