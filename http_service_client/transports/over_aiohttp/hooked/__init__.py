"""Exchanges through aiohttp, for the libraries that have hooked in there (see `over_aiohttp.hook_detection`)."""
