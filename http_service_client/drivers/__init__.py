"""How effects are performed: on the calling thread, in an asyncio task, or in virtual time."""
