"""An SDK for a payment gateway: typed methods, blocking and asyncio, from one description of each.

`PaymentGateway` is for blocking code, `AsyncPaymentGateway` for asyncio. `PaymentMethods` describes their methods: the
request that each makes, and the type of what it returns. The first part of this file knows no service: copy it, and write
the second part for yours.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, cast, overload

from http_service_client import (
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    HttpStatusError,
    RequestOptions,
    ResponseError,
    SentState,
    next_by_field,
)
from http_service_client.events import AttemptFinished, RedirectFollowed

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
T = TypeVar("T")


# Part 1: one description, two front ends.


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A request, and the type of what its response holds.   options: the keywords of a call."""

    verb: str
    path: str
    result: type[T]
    options: RequestOptions = field(default_factory=RequestOptions)

    @property
    def keywords(self) -> RequestOptions:
        """Those of the call."""
        return {**self.options, "response_type": self.result}


class Blocking:
    """Calls are made on the calling thread. To be closed, or used by `with`."""

    client: HttpServiceClient

    def close(self) -> None:
        """Close the client, unless it was passed in."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Asynchronous:
    """Calls are awaited. To be closed, or used by `async with`."""

    client: HttpServiceClient

    async def close(self) -> None:
        """Close the client, unless it was passed in."""
        await self.client.close_async()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class method(Generic[P, T]):
    """A decorator: a function that describes an `Operation` becomes a method that makes the call.

    It is a plain method of a `Blocking` SDK, and an `async def` of an `Asynchronous` one, with the parameters of the function
    and the result of the operation: for type checkers, for `help()` and for Sphinx.
    """

    def __init__(self, describe: Callable[Concatenate[Any, P], Operation[T]]) -> None:
        def blocking(sdk: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
            it = describe(sdk, *args, **kwargs)
            with own_errors(it.verb):
                response = sdk.client.request(it.verb, it.path, **it.keywords)
                return cast(T, data_of(response))

        async def asynchronous(sdk: Asynchronous, /, *args: P.args, **kwargs: P.kwargs) -> T:
            it = describe(sdk, *args, **kwargs)
            with own_errors(it.verb):
                response = await sdk.client.request_async(it.verb, it.path, **it.keywords)
                return cast(T, data_of(response))

        self._blocking = documented(blocking, describe)
        self._asynchronous = documented(asynchronous, describe)

    @overload
    def __get__(self, sdk: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, sdk: Asynchronous, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, sdk: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, sdk: Any, owner: type) -> Any:
        function = self._asynchronous if issubclass(owner, Asynchronous) else self._blocking
        return function if sdk is None else function.__get__(sdk, owner)


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A listing in pages.   page: the type of one.   items: what is in it.   next: the field with the next URL."""

    path: str
    page: type[Any]
    items: Callable[[Any], list[T]]
    next: str = "next"
    options: RequestOptions = field(default_factory=RequestOptions)

    @property
    def keywords(self) -> RequestOptions:
        """Those of the call for each page."""
        return {**self.options, "response_type": self.page}


class listing(Generic[P, T]):
    """As `method`, of a function that describes a `Listing`: an iterator of items, for `for` or for `async for`."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Listing[T]]) -> None:
        def blocking(sdk: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            it = describe(sdk, *args, **kwargs)
            with own_errors("GET"):
                pages = sdk.client.paginate(it.path, next=next_by_field(it.next), **it.keywords)
                for page in pages:
                    yield from it.items(data_of(page))

        async def asynchronous(sdk: Asynchronous, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            it = describe(sdk, *args, **kwargs)
            with own_errors("GET"):
                pages = sdk.client.paginate_async(it.path, next=next_by_field(it.next), **it.keywords)
                async for page in pages:
                    for item in it.items(data_of(page)):
                        yield item

        self._blocking = documented(blocking, describe)
        self._asynchronous = documented(asynchronous, describe)

    @overload
    def __get__(self, sdk: Blocking, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, sdk: Asynchronous, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, sdk: None, owner: type) -> Callable[..., Any]: ...
    def __get__(self, sdk: Any, owner: type) -> Any:
        function = self._asynchronous if issubclass(owner, Asynchronous) else self._blocking
        return function if sdk is None else function.__get__(sdk, owner)


def data_of(response: HttpResponse[Any]) -> Any:
    """What a success holds. Any other status is an error, also one such as 304, which `raise_for_status` lets pass."""
    if not response.raise_for_status().is_success:
        raise ResponseError(
            f"{response.url} answered {response.status_code}, which is no result",
            response=response,
            request=response.request,
            sent_state=response.sent_state,
            timeline=response.timeline,
        )
    return response.data


def documented(function: Any, describe: Callable[..., Any]) -> Any:
    """The function with the name, the docstring and the signature of the one that describes it."""
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(function, name, getattr(describe, name))
    signature = inspect.signature(describe)
    # "Operation[Charge]" is a Charge, "Listing[Charge]" gives them one by one.
    kind, _, result = str(signature.return_annotation).removesuffix("]").partition("[")
    given = result if kind == "Operation" else f"Iterator[{result}]"
    function.__signature__ = signature.replace(return_annotation=given)
    return function


# Part 2: the service, its data, its errors and its methods.


@dataclass(frozen=True)
class Charge:
    """What a customer was charged."""

    id: str
    order_id: str
    amount: Decimal
    currency: str
    status: Literal["pending", "succeeded", "refunded"]
    created: datetime


@dataclass(frozen=True)
class Refund:
    """What a customer gets back."""

    refund_id: str
    charge_id: str
    amount: Decimal


@dataclass(frozen=True)
class ChargePage:
    """A page of charges, and the URL of the next one."""

    charges: list[Charge]
    next: str | None = None


class PaymentError(Exception):
    """The gateway has refused a request: nothing was charged. Its cause is the client's error, with the timeline."""


class PaymentDeclinedError(PaymentError):
    """The bank says no, and will say so again.   code: its reason, such as "insufficient_funds"; or None."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class GatewayUnavailableError(PaymentError):
    """Nothing was charged: try again later.   retry_after: in so many seconds, if known."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PaymentUnknownError(PaymentError):
    """The payment may have been made. Call again for the same order: under its key it is made once at most."""


@contextmanager
def own_errors(verb: str) -> Iterator[None]:
    """Raise the SDK's errors in the place of the client's. Wrong arguments stay the errors that they are."""
    try:
        yield
    except HttpClientError as error:
        if isinstance(error, (ValueError, RuntimeError)) and error.sent_state is SentState.NEVER_SENT:
            raise  # a mistake of the program
        raise _own(error, verb) from error


def _own(error: HttpClientError, verb: str) -> PaymentError:
    if isinstance(error, HttpStatusError) and error.status_code == 402:
        code = error.problem.extensions.get("code") if error.problem is not None else None
        return PaymentDeclinedError(str(error), code)
    if may_be_processed(error):
        # A read charges nobody.
        return GatewayUnavailableError(str(error), None) if verb == "GET" else PaymentUnknownError(str(error))
    if isinstance(error, HttpStatusError) and error.sent_state is not SentState.REFUSED:
        return PaymentError(str(error))
    return GatewayUnavailableError(str(error), getattr(error, "retry_after", None))


def may_be_processed(error: HttpClientError) -> bool:
    """Whether any attempt of the call may have had its effect.

    A 500 may have charged, and a 400 has not: both are `answered`. So each attempt is looked at, and the error's own
    `sent_state`, which is the worst of them, does not do. A redirect to a GET says that the request was processed,
    whatever became of the GET.
    """
    if isinstance(error, ResponseError) and not isinstance(error, HttpStatusError):
        return True  # a success that cannot be read
    if any(isinstance(event, RedirectFollowed) and event.method == "GET" for event in error.timeline or ()):
        return True
    attempts = [event for event in error.timeline or () if isinstance(event, AttemptFinished)]
    return any(
        attempt.sent_state in (SentState.MAYBE_PROCESSED, SentState.ABANDONED)
        or (attempt.sent_state is SentState.ANSWERED and (attempt.status_code or 0) >= 500)
        for attempt in attempts
    )


class PaymentMethods:
    """What the gateway can do.

    token: of the merchant's account.   client: one whose connections, circuits and settings to share, and which stays open;
        None for one of its own.
    """

    def __init__(
        self,
        token: str,
        *,
        base_url: str = "https://api.payment-gateway.com/v1",
        client: HttpServiceClient | None = None,
    ) -> None:
        if client is None:
            self.client = HttpServiceClient(
                HttpClientConfig(base_url=base_url, auth=token, base_timeout=15.0, total_timeout=40.0)
            )
        else:
            self.client = client.with_options(base_url=base_url, auth=token)

    @method
    def charge(self, order_id: str, amount: Decimal, currency: str = "USD") -> Operation[Charge]:
        """Charge the customer of an order. Called again for the same order, it returns the same charge."""
        body = {"order_id": order_id, "amount": amount, "currency": currency}
        headers = {"Idempotency-Key": f"charge-{order_id}"}
        return Operation("POST", "/charges", Charge, {"json": body, "headers": headers, "name": "charge"})

    @method
    def refund(self, charge: Charge, reference: str, amount: Decimal | None = None) -> Operation[Refund]:
        """Refund a charge, or a part of it.   amount: None for all.

        reference: your own name for this refund, such as the number of the return. Called again with the same one, it
            returns the same refund; with another one, it refunds once more, also the same amount.
        """
        body = {"charge_id": charge.id, "amount": charge.amount if amount is None else amount}
        headers = {"Idempotency-Key": f"refund-{charge.id}-{reference}"}
        return Operation("POST", "/refunds", Refund, {"json": body, "headers": headers, "name": "refund"})

    @method
    def get_charge(self, charge_id: str) -> Operation[Charge]:
        """A charge, as it is now."""
        options: RequestOptions = {"path_params": {"charge_id": charge_id}, "name": "get charge"}
        return Operation("GET", "/charges/{charge_id}", Charge, options)

    @listing
    def charges(self, order_id: str | None = None) -> Listing[Charge]:
        """The charges of an order, or all, newest first. Each page is fetched when it is needed."""
        return Listing("/charges", ChargePage, lambda page: page.charges, options={"params": {"order": order_id}})


class PaymentGateway(PaymentMethods, Blocking):
    """The gateway, for blocking code."""


class AsyncPaymentGateway(PaymentMethods, Asynchronous):
    """The gateway, for asyncio."""
