"""The version is a plain `str` to type checkers. This folder is checked by mypy and pyright, not run."""

from typing_extensions import assert_type

from http_service_client._version import __version__

assert_type(__version__, str)
