"""One exchange on the wire: over requests, over aiohttp, and the network code that both share."""
