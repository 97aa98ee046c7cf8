"""What to write where an HttpClientConfig is needed and something else was given. Imported for a mistake only."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType

from .client_config import FIELDS_OF_POLICIES, HttpClientConfig

__all__ = ["config_remedy"]


def config_remedy(given: object, *, client: str = "pass its config") -> str:
    """The end of the error's sentence: "; write …", or nothing for a thing that nobody takes for a configuration.

    client: what to do with an HttpServiceClient that was given.
    """
    instead = _instead(given, client)
    return f"; {instead}" if instead else ""


def _instead(given: object, client: str) -> str:
    if isinstance(given, type):
        return f"write {given.__name__}(…)" if issubclass(given, HttpClientConfig) else ""
    if str(given).endswith((".toml", ".json", ".yaml", ".yml")):
        return "write HttpClientConfig.from_file(path)"
    if isinstance(given, str):
        return "pass a URL as base_url="
    if isinstance(given, Mapping):
        return "write HttpClientConfig.from_mapping(settings)"
    if isinstance(given, FunctionType):  # such as presets.gentle
        return f"call it: {given.__name__}()"
    kind = type(given).__name__
    if kind == "HttpServiceClient":
        return client
    return f"write HttpClientConfig({FIELDS_OF_POLICIES[kind]}=…)" if kind in FIELDS_OF_POLICIES else ""
