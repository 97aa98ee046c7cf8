"""The asyncio transport: aiohttp's sessions and connector, with a stricter protocol and a fast path."""
