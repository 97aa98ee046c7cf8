"""What an export or an import comes to: a document or a configuration, and what was lost on the way."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ..client.config.client_config import HttpClientConfig

__all__ = ["Export", "Import", "Note"]


class Note(NamedTuple):
    """A setting that the other side cannot say, or not exactly.

    name: of the setting, by its path: ``retry_policy_config.nested``, ``route.retry_policy.retry_priority``.
    value: it as text, "" for a rule that is no setting; secrets are left out.   why: what becomes of it.
    """

    name: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}: {self.why}" if self.value else f"{self.name}: {self.why}"


class Export(NamedTuple):
    """A configuration as another system says it.

    document: plain values, for JSON or YAML.   notes: what it does not say, or not exactly.
    said: what it does say: the settings by name, as an import of the document sets them.
    """

    document: dict[str, Any]
    notes: tuple[Note, ...]
    said: dict[str, Any]

    def to_json(self, indent: int | None = 2) -> str:
        """The document as JSON, which is YAML, too."""
        return json.dumps(self.document, indent=indent)

    def explain(self) -> str:
        """The notes, one line each."""
        return "\n".join(map(str, self.notes))


class Import(NamedTuple):
    """A configuration from a document of another system.

    config: for a client.   notes: what has no equal here, or not an exact one.
    said: the settings that the document sets, by name.
    """

    config: HttpClientConfig
    notes: tuple[Note, ...]
    said: dict[str, Any]

    def explain(self) -> str:
        """The notes, one line each."""
        return "\n".join(map(str, self.notes))
