"""A configuration from a file: TOML or JSON, with the names of `HttpClientConfig`.

base_timeout = 5.0

[retry_policy_config]
max_attempts = 2

[connection_pool]
pool_timeout = 1.0
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from ..client.config import ConnectionPoolConfig, HttpClientConfig
from ..errors import ConfigurationError

__all__ = ["load_config"]


def load_config(path: str) -> HttpClientConfig:
    """The configuration in this file.

    Raises ConfigurationError that names the file and what is wrong with it.
    """
    file = Path(path)
    try:
        settings = _parse(file)
        if isinstance(settings.get("connection_pool"), dict):
            settings["connection_pool"] = ConnectionPoolConfig(**settings["connection_pool"])
        return HttpClientConfig(**settings)
    except (OSError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{path}: {reason}") from error


def _parse(file: Path) -> dict[str, Any]:
    suffix = file.suffix.lower()
    if suffix == ".json":
        settings = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ConfigurationError("a configuration is a JSON object of settings and their values")
        return settings
    if suffix == ".toml":
        return _toml(file.read_text(encoding="utf-8"))
    raise ConfigurationError("the name of a configuration file must end with .toml or .json")


def _toml(text: str) -> dict[str, Any]:
    try:
        parser: Any = importlib.import_module("tomllib")
    except ModuleNotFoundError:  # before Python 3.11
        try:
            parser = importlib.import_module("tomli")
        except ModuleNotFoundError:
            message = "reading TOML needs Python 3.11 or tomli; pip install tomli, or write JSON"
            raise ConfigurationError(message) from None
    settings: dict[str, Any] = parser.loads(text)
    return settings
