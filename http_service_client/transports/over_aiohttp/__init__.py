"""The asyncio transport: connections of our own, and aiohttp where something has hooked in there."""
