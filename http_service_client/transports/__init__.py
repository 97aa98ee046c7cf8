"""One exchange on the wire, over requests or over aiohttp. The interface is `base`."""
