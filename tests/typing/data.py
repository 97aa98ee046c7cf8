"""`data` is of the `response_type`, for each verb, blocking and asyncio. Checked by mypy and pyright, not run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from dataclasses import dataclass
from typing import Any, TypedDict, cast

from typing_extensions import Unpack, assert_type

from http_service_client import HttpResponse, HttpServiceClient, RequestOptions


@dataclass
class Order:
    id: int


class Refund(TypedDict):
    id: int


def of_each_verb(client: HttpServiceClient) -> None:
    assert_type(client.request("GET", "/", response_type=Order).data, Order)
    assert_type(client.get("/", response_type=Order).data, Order)
    either = cast("type[Order | None]", Order | None)  # as docs/http.md writes a union
    assert_type(client.get("/", response_type=either).data, Order | None)
    assert_type(client.post("/", response_type=Order, json={}).data, Order)
    assert_type(client.put("/", response_type=Order).data, Order)
    assert_type(client.patch("/", response_type=Order).data, Order)
    assert_type(client.delete("/", response_type=Order).data, Order)
    assert_type(client.head("/", response_type=Order).data, Order)
    assert_type(client.options("/", response_type=Order).data, Order)
    assert_type(client.query("/", response_type=Order).data, Order)
    for page in client.paginate("/", response_type=list[Order]):
        assert_type(page.data, list[Order])


async def of_each_async_verb(client: HttpServiceClient) -> None:
    assert_type((await client.request_async("GET", "/", response_type=Order)).data, Order)
    assert_type((await client.get_async("/", response_type=Order)).data, Order)
    assert_type((await client.post_async("/", response_type=Order)).data, Order)
    assert_type((await client.put_async("/", response_type=Order)).data, Order)
    assert_type((await client.patch_async("/", response_type=Order)).data, Order)
    assert_type((await client.delete_async("/", response_type=Order)).data, Order)
    assert_type((await client.head_async("/", response_type=Order)).data, Order)
    assert_type((await client.options_async("/", response_type=Order)).data, Order)
    assert_type((await client.query_async("/", response_type=Order)).data, Order)
    async for page in client.paginate_async("/", response_type=list[Order]):
        assert_type(page.data, list[Order])


def of_each_kind_of_type(client: HttpServiceClient) -> None:
    assert_type(client.get("/").data, None)
    assert_type(client.get("/", response_type=list[Order]).data, list[Order])
    assert_type(client.get("/", response_type=dict[str, list[int]]).data, dict[str, list[int]])
    assert_type(client.get("/", response_type=Refund).data, Refund)
    # Neither checker takes a union for a type, so its user says what the response is of.
    client.get("/", response_type=Order | Refund)  # type: ignore[arg-type]
    either: HttpResponse[Order | Refund] = client.get("/", response_type=cast("Any", Order | Refund))
    assert_type(either.data, Order | Refund)


def checked(client: HttpServiceClient) -> Order:
    return client.get("/orders/1", response_type=Order).raise_for_status().data


def passed_on(client: HttpServiceClient, **options: Unpack[RequestOptions]) -> HttpResponse[Any]:
    return client.get("/", **options)


def of_any_data(response: HttpResponse) -> int:
    """Without a parameter, the type is that of responses with any data."""
    return response.status_code


def accepts_any_response(client: HttpServiceClient) -> None:
    of_any_data(client.get("/"))
    of_any_data(client.get("/", response_type=Order))


def wrong_data(client: HttpServiceClient) -> Refund:
    print(client.get("/").data.id)  # type: ignore[attr-defined]
    client.get("/", response_type="Order")  # type: ignore[arg-type]
    client.post("/", data=42)  # type: ignore[arg-type]
    client.get("/", params=7)  # type: ignore[arg-type]
    return client.get("/", response_type=Order).data  # type: ignore[return-value]


def right_bodies(client: HttpServiceClient, path: str) -> None:
    with open(path, "rb") as binary, open(path) as text:
        client.post("/", data=binary)
        client.post("/", data=text)
        client.post("/", files={"report": binary, "note": ("n.txt", b"x", "text/plain")})
    client.post("/", data={"a": 1, "b": [1, 2]})
    client.post("/", data=[("a", 1), ("a", 2)])
    client.post("/", data=(piece for piece in [b"a", b"b"]))
    client.get("/", params={"page": 2, "tags": ["a", "b"]})
    client.get("/", params="page=2")
