"""How effects are performed: on the calling thread, in an asyncio task, in virtual time."""
