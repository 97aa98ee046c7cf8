"""Our response as requests, and what has hooked in there, see one of urllib3."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from ....errors import DecodingError, ResponseTooLargeError
from ....http.content_codings.decoder import Decoder
from ....http.headers import Headers
from ..pool import PoolResponse

__all__ = ["Urllib3StyleResponse"]


class Urllib3StyleResponse:
    """A response over our own connections.

    A hook may read the body, to log it say. A body can be read from the connection only once, so what is read here is
    kept, undecoded, and `next_piece` gives it to the exchange. Otherwise its caller would get an empty body.

    response: as the pool has it.   limit: how many decoded bytes of a body a hook can read; None for any number.
    """

    version = 11

    def __init__(self, response: PoolResponse, limit: int | None) -> None:
        self.own = response
        self.status = response.status
        self.reason = response.reason
        self._limit = limit
        self._seen: deque[bytes] = deque()

    @property
    def headers(self) -> Headers:
        """The header fields by name."""
        return self.own.headers

    def read(self, amount: int | None = None, decode_content: bool = False) -> bytes:
        """The next piece, of any size, undecoded; b"" at the end."""
        piece = self.own.read()
        if piece:
            self._seen.append(piece)
        return piece

    def stream(self, amount: int | None = None, decode_content: bool = False) -> Iterator[bytes]:
        """All pieces.

        A coding that cannot be removed ends them, and so does the size limit: the exchange raises the error, and then
        it has the response.
        """
        decoder = Decoder(self.own.content_coding if decode_content else None, self._limit)
        with suppress(DecodingError, ResponseTooLargeError):
            while piece := self.read():
                if decoded := decoder.feed(piece):
                    yield decoded

    def next_piece(self) -> bytes:
        """The next piece for the exchange: first what a hook has read; b"" at the end."""
        return self._seen.popleft() if self._seen else self.own.read()

    def close(self) -> None:
        """Close the connection, unless it is back in the pool."""
        self.own.close()

    def release_conn(self) -> None:
        """As `close`: a connection whose response was not read to the end cannot be reused."""
        self.close()
