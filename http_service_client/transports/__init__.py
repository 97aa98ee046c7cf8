"""One exchange on the wire: blocking, in asyncio, or over HTTP/2, and the network code that these share."""
