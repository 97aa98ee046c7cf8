"""The verbs of HTTP in both worlds. One keyword list for all of them: see `HttpServiceClient.request`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..http.messages import HttpResponse
    from .call_builder import RequestOptions

__all__ = ["Verbs"]


class Verbs(ABC):
    """Whoever can make a request has a method for each of its names."""

    __slots__ = ()

    @abstractmethod
    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Make a call and return the response, whatever its status."""

    @abstractmethod
    async def request_async(self, method: str, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """As `request`, in an asyncio task."""

    def get(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """GET a resource. Keywords as for `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """POST to a resource. Keywords as for `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """PUT a resource. Keywords as for `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """PATCH a resource. Keywords as for `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """DELETE a resource. Keywords as for `request`."""
        return self.request("DELETE", url, **options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Ask for a resource's headers. Keywords as for `request`."""
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Ask what a resource can do. Keywords as for `request`."""
        return self.request("OPTIONS", url, **options)

    async def get_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """GET a resource. Keywords as for `request`."""
        return await self.request_async("GET", url, **options)

    async def post_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """POST to a resource. Keywords as for `request`."""
        return await self.request_async("POST", url, **options)

    async def put_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """PUT a resource. Keywords as for `request`."""
        return await self.request_async("PUT", url, **options)

    async def patch_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """PATCH a resource. Keywords as for `request`."""
        return await self.request_async("PATCH", url, **options)

    async def delete_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """DELETE a resource. Keywords as for `request`."""
        return await self.request_async("DELETE", url, **options)

    async def head_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Ask for a resource's headers. Keywords as for `request`."""
        return await self.request_async("HEAD", url, **options)

    async def options_async(self, url: str, **options: Unpack[RequestOptions]) -> HttpResponse:
        """Ask what a resource can do. Keywords as for `request`."""
        return await self.request_async("OPTIONS", url, **options)
