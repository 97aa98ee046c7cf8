"""`client.download_parallel(url, path)`: one file over several connections."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from ..core.checks import check_count, check_flag
from ..drivers.imports import import_apart
from .call_builder import CallBuilder
from .config.defaults import CLIENT_DEFAULT
from .polling import Polls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..core.call import Call
    from ..core.effects import Outcome, Plan
    from ..core.layers.download import Download
    from ..http.messages import HttpResponse
    from .downloads.parallel_download import ParallelDownload
    from .downloads.parallel_file import PartedFile
    from .keywords import StreamRequestOptions

__all__ = ["ParallelDownloads"]


class ParallelDownloads(Polls):
    """`download_parallel` and `download_parallel_async`."""

    __slots__ = ()

    _call_builder: CallBuilder

    def download_parallel(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        parts: int = 4,
        checksum: str | None = None,
        max_response_size: int | None = CLIENT_DEFAULT,
        resume: bool = False,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse:
        """As `download`, over several connections: for servers that limit the speed of each.

        The parts are requested by Range under the condition that the file is still the same (If-Range). A server
        without ranges, or without a strong validator, sends the file as one stream, and so does one whose file
        changes meanwhile. Each part is a call, retried and resumed as a `download`.

        url: absolute, or relative to the client's `base_url`.   path: of the file; its folder must exist.
        parts: how many may arrive at a time; >= 1, and never more than the client's connections to a host, or the permits
            of its bulkhead.
        checksum: what the file must have, such as ``sha256:9f86d0...``.
        resume: keep what has arrived when the download fails or its process is killed; the next download of the
            same URL to the same path, with resume=True, continues there if the file is still the same.
        max_response_size: decoded bytes, over all attempts; None for no limit; left out, the client's.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        progress: called with the bytes received and the total (None if unknown), plain or async; True draws a
            bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        The timeouts are those of each part, but `total_timeout` is for the whole download. `progress` counts the bytes
        of all parts. When a part fails, the others end, too.

        Returns the response to the first part, without its content; its status is 206, or 200 if the file came as one
        stream. Raises as `download`.
        """
        check_flag("resume", resume)
        builder = self._call_builder  # all parts go by one configuration
        driver = builder.backends.blocking_apart()
        import_apart(_load)
        from ..policies.gather_in_threads import run_in_threads
        from .downloads.parallel_download import PartRefused
        from .downloads.parallel_file import PartedFile

        self._warn_inside_a_loop()
        with PartedFile(path, checksum, resume) as file:
            download = self._parallel(builder, file, url, parts, max_response_size, options)
            with download.limits():
                response = download.run(driver, download.first())
                if not download.is_split:
                    return response
                try:
                    missing = driver.run(download.split())
                    run_in_threads(
                        (partial(download.run, driver, download.part(part)) for part in missing),
                        download.parts,
                        on_error=partial(download.stop, driver),
                    )
                    driver.run(download.commit(response))
                    return response
                except PartRefused:
                    driver = builder.backends.blocking()  # the other one was stopped
                except BaseException:  # Ctrl-C: nobody else would stop the threads
                    download.stop(driver)
                    raise
                driver.run(download.start_over())
                return download.run(driver, download.whole())

    async def download_parallel_async(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        parts: int = 4,
        checksum: str | None = None,
        max_response_size: int | None = CLIENT_DEFAULT,
        resume: bool = False,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse:
        """As `download_parallel`, in asyncio tasks; the file is written in threads.

        url: absolute, or relative to the client's `base_url`.   path: of the file; its folder must exist.
        parts: how many may arrive at a time; >= 1, and never more than the client's connections to a host, or the permits
            of its bulkhead.
        checksum: what the file must have, such as ``sha256:9f86d0...``.
        resume: keep what has arrived when the download fails or its process is killed; the next download of the
            same URL to the same path, with resume=True, continues there if the file is still the same.
        max_response_size: decoded bytes, over all attempts; None for no limit; left out, the client's.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        progress: called with the bytes received and the total (None if unknown), plain or async; True draws a
            bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        Returns and raises as `download_parallel`.
        """
        check_flag("resume", resume)
        builder = self._call_builder
        driver = builder.backends.asyncio()
        import_apart(_load)
        from .downloads.parallel_download import PartRefused
        from .downloads.parallel_file import PartedFile

        with PartedFile(path, checksum, resume) as file:
            download = self._parallel(builder, file, url, parts, max_response_size, options)
            with download.limits():
                response = await download.run_async(driver, download.first())
                if not download.is_split:
                    return response
                from ..policies.gather import gather  # it imports asyncio

                try:
                    missing = await driver.run(download.split())
                    await gather(
                        (partial(download.run_async, driver, download.part(part)) for part in missing),
                        at_once=download.parts,
                    )
                    await driver.run(download.commit(response))
                    return response
                except PartRefused:
                    pass
                await driver.run(download.start_over())
                return await download.run_async(driver, download.whole())

    def _parallel(
        self,
        builder: CallBuilder,
        file: PartedFile,
        url: str,
        parts: int,
        max_size: int | None,
        options: StreamRequestOptions,
    ) -> ParallelDownload:
        from .downloads.parallel_download import ParallelDownload

        check_count("parts", parts)
        pool = builder.config.resolved.pool
        bulkhead = builder.config.resolved.bulkhead
        permits = parts if bulkhead is None else bulkhead.max_concurrent
        parts = min(parts, permits, pool.max_connections_per_host, pool.max_connections)
        seconds = builder.total_timeout(options)
        begin = partial(_begin_download, builder, url, max_size)
        return ParallelDownload(begin, file, parts, self._clock.monotonic, seconds, options)


def _load() -> None:
    """Import what a download in parts needs, before its first call begins."""
    from ..policies import gather_in_threads  # noqa: F401
    from .downloads import parallel_download  # noqa: F401


def _begin_download(
    builder: CallBuilder, url: str, max_size: int | None, saver: Download, options: StreamRequestOptions
) -> tuple[Call, Plan[Outcome]]:
    from ..core.layers.part_download import PartDownload

    # The first part has compared the size of the whole file.
    stream = builder.streaming(None if isinstance(saver, PartDownload) else max_size, options, saver)
    call = builder.build("GET", url, _stream=stream, **options)
    return call, builder.pipelines.of_download(call)(call.request, call)
