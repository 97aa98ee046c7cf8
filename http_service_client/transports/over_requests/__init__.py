"""The blocking transport: connections of our own, and requests where something has hooked in there."""
