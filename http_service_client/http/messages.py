"""What goes out and what comes back, as interceptors and callers see it.

`HttpRequest` and `HttpResponse` are plain data: they open no connection and know no library.
`HttpContext` is what the layers and the interceptors know of one call.
"""

from .context import HttpContext
from .headers import Headers
from .request import HttpRequest
from .response import HttpResponse

__all__ = ["Headers", "HttpContext", "HttpRequest", "HttpResponse"]
