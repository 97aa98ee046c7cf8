"""A misspelt import is an error. This folder is checked by mypy and pyright, not run."""

from http_service_client import HttpServiceCleint  # type: ignore[attr-defined]  # noqa: F401  # this is what is tested
