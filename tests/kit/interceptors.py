"""Interceptors made of functions, for tests."""

from __future__ import annotations

from typing import Any


class Recorder:
    """Records each of its calls in a list, and changes nothing."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def intercept_request(self, request: Any, context: Any) -> Any:
        self.calls.append(f"{self.name} request {context.attempt}")
        return request

    def intercept_response(self, response: Any, context: Any) -> Any:
        self.calls.append(f"{self.name} response {context.attempt}: {response.status_code}")
        return response


def on_request(function: Any) -> Any:
    """A request interceptor made of one function."""

    class OnRequest:
        intercept_request = staticmethod(function)

    return OnRequest()


def on_response(function: Any) -> Any:
    """A response interceptor made of one function."""

    class OnResponse:
        intercept_response = staticmethod(function)

    return OnResponse()
