"""HTTP/2 (RFC 9113) by the library h2, on asyncio, for both front ends; all else by the HTTP/1.1 transports."""
