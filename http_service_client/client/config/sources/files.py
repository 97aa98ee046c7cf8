"""Settings from a file: TOML, JSON or YAML, of one client or of several.

    base_timeout = 5.0            |   [clients.default]
                                  |   base_timeout = 5.0
    [retry_policy_config]         |
    max_attempts = 2              |   [clients.payments]
                                  |   inherits = "default"
                                  |   auth = "${PAYMENTS_TOKEN}"

A text may refer to environment variables, so that secrets are not in the file. They are looked up for the client that is
made, and for the settings that it uses: what another client needs may be missing.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from ....core.checks import did_you_mean
from ....errors import ConfigurationError
from .environment_variables import variables
from .source import Settings

__all__ = ["client_names", "from_file"]

Config = TypeVar("Config")

_DEFAULT = "default"
_REFERENCE = re.compile(r"(\$?)\$\{(?:(\w*)\})?")


def from_file(
    kind: type[Config], path: str | os.PathLike[str], client: str | None, env_prefix: str | None
) -> Config:
    """A configuration of this class: see `HttpClientConfig.from_file`."""
    source = os.fspath(path)
    settings = _of_client(_read(source), client, source)
    if env_prefix is not None:
        settings.overlay(variables(kind, env_prefix, os.environ))
    return settings.make(kind)


def client_names(path: str | os.PathLike[str]) -> list[str]:
    """The clients that a file has settings of; none if it has those of one client without a name."""
    return list(_clients(_read(os.fspath(path)), os.fspath(path)) or ())


class _Text(str):
    """A text of a file, which may refer to environment variables."""


class _FileSettings(Settings):
    """Settings whose texts may refer to environment variables."""

    def expanded(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self.expanded(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.expanded(item) for item in value]
        return _REFERENCE.sub(self._text_of, value) if isinstance(value, _Text) else value

    def _text_of(self, reference: re.Match[str]) -> str:
        escape, name = reference.groups()
        if escape:
            return reference[0][1:]
        if not name:
            raise ValueError(
                "it has a ${ that is not a reference to a variable; write ${NAME}, or $${ for a literal ${"
            )
        text = os.environ.get(name)
        if not text:
            raise ValueError(
                f"the environment variable {name} is {'not set' if text is None else 'empty'}; set it"
            )
        self.secrets.add(text)
        return text


def _of_client(values: dict[Any, Any], client: str | None, source: str) -> Settings:
    """The settings of a client, with those that it inherits."""
    clients = _clients(values, source)
    if clients is None:
        if client is not None:
            raise ConfigurationError(
                f"{source}: there is no table [clients]; leave client={client!r} out, or write [clients.{client}]"
            )
        return _FileSettings(_marked(values), source)
    if client is None and _DEFAULT not in clients:
        raise ConfigurationError(f"{source}: choose one of its clients by client=: {', '.join(clients)}")
    chain, left = list[str](), dict(clients)
    name: object = _DEFAULT if client is None else client
    while name is not None:
        if not isinstance(name, str) or name not in clients:
            by = f"clients.{chain[-1]}.inherits names a client that is missing, {name!r}" if chain else ""
            remedy = did_you_mean(name, clients) or f"there are: {', '.join(clients)}"
            raise ConfigurationError(f"{source}: {by or f'there is no client {name!r}'}; {remedy}")
        if name in chain:
            raise ConfigurationError(
                f"{source}: clients.{chain[-1]}.inherits={name!r} is circular: {' -> '.join([*chain, name])}"
            )
        chain.append(name)
        name = left.pop(name).get("inherits")
    settings = _FileSettings({}, source)
    for name in reversed(chain):
        own = {key: value for key, value in clients[name].items() if key != "inherits"}
        settings.overlay(Settings(_marked(own), label=f"clients.{name}"))
    return settings


def _clients(values: dict[Any, Any], source: str) -> dict[str, Mapping[str, Any]] | None:
    """The tables of the clients; None in a file of one client."""
    clients = values.get("clients")
    if clients is None:
        return None
    for key in values:
        if key != "clients":
            raise ConfigurationError(
                f"{source}: {key} is beside the table [clients]; "
                f"write it in [clients.{_DEFAULT}], and inherits = {_DEFAULT!r} in the others"
            )
    if not isinstance(clients, dict) or not clients:
        raise ConfigurationError(f"{source}: clients must be a table with a table for each client")
    for name, table in clients.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{source}: clients.{name} must be a table of settings")
    return clients


def _marked(value: Any) -> Any:
    """The same with its texts marked as those of a file."""
    if isinstance(value, dict):
        return {name: _marked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return _Text(value) if type(value) is str else value


def _read(path: str) -> dict[Any, Any]:
    """What is in the file. Errors say where it is wrong and never show a line of it, which may hold a secret."""
    suffix = os.path.splitext(path)[1].lower()
    try:
        if suffix not in _READERS:
            raise ValueError(f"the name of a file with settings must end with {', '.join(_READERS)}")
        with open(path, encoding="utf-8-sig") as file:
            values = _READERS[suffix](file.read())
        if not isinstance(values, dict):
            raise ValueError(
                f"it must have settings and their values at the top, not a {type(values).__name__}"
            )
        return values
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError as error:
        problem = str(error)
    raise ConfigurationError(f"{path}: {problem}")


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice; remove one")
        found[key] = value
    return found


def _toml(text: str) -> Any:
    try:
        parser: Any = importlib.import_module("tomllib")
    except ModuleNotFoundError:  # before Python 3.11
        try:
            parser = importlib.import_module("tomli")
        except ModuleNotFoundError:
            raise ValueError(
                "before Python 3.11, reading TOML needs tomli; run pip install 'http-service-client[toml]', or write JSON"
            ) from None
    return parser.loads(text)


def _yaml(text: str) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise ValueError(
            "reading YAML needs PyYAML; run pip install 'http-service-client[yaml]', or write TOML"
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
        def construct_mapping(self, node: Any, deep: object = None) -> Any:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                key.tag = "tag:yaml.org,2002:str"  # in YAML 1.1, the keys no and on are booleans
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ValueError(f"the key {key.value!r} is there twice, in line {line}; remove one")
                seen.add(key.value)
            # Deep, so that a table which contains itself is an error, too.
            return super().construct_mapping(node, deep=True)

    try:
        values = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise ValueError(f"{getattr(error, 'problem', None) or 'it is not YAML'}{where}") from None
    return {} if values is None else values


_READERS = {".toml": _toml, ".json": _json, ".yaml": _yaml, ".yml": _yaml}
