"""Requests and responses, as interceptors and callers see them: the four message classes in one import.

`HttpRequest` and `HttpResponse` are plain data: they hold no connection and depend on no library.
`HttpContext` is what the layers and the interceptors know about one call.
"""

from .context import HttpContext
from .headers import Headers
from .request import HttpRequest
from .response import HttpResponse

__all__ = ["Headers", "HttpContext", "HttpRequest", "HttpResponse"]
