"""SDKs on httpx2 and httpx: one line puts a transport under each, and its calls survive two failures of three."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from http_service_client.integrations import AsyncResilientTransport, ResilientTransport, explain
from libraries.sdks.conftest import PAUSE, FailingService

CHAT = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "paid"}}],
}  # fmt: skip
MESSAGE = {
    "id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "paid"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
QUESTION: Any = [{"role": "user", "content": "?"}]


def library_of(sdk: Any) -> Any:
    """httpx2 or httpx, whichever the SDK has a client of."""
    return importlib.import_module(
        next(kind.__module__ for kind in sdk.__mro__ if "httpx" in kind.__module__).split(".")[0]
    )


def test_openai(service: FailingService) -> None:
    """A chat, which is a POST: the service asked for a pause, so nothing was paid for."""
    openai = pytest.importorskip("openai")
    library = library_of(openai.DefaultHttpxClient)
    service.responds("/chat/completions", failures=(PAUSE, PAUSE), json=CHAT)
    http = library.Client(transport=ResilientTransport(client=service.client))
    with openai.OpenAI(api_key="k", base_url=service.url, http_client=http, max_retries=0) as client:
        chat = client.chat.completions.create(model="m", messages=QUESTION)
    assert (chat.choices[0].message.content, service.attempts("/chat/completions")) == ("paid", 3)


@pytest.mark.asyncio
async def test_openai_in_asyncio(service: FailingService) -> None:
    """The models, over failures of all kinds."""
    openai = pytest.importorskip("openai")
    library = library_of(openai.DefaultAsyncHttpxClient)
    service.responds("/models", json={"object": "list", "data": []})
    http = library.AsyncClient(transport=AsyncResilientTransport(client=service.client))
    async with openai.AsyncOpenAI(
        api_key="k", base_url=service.url, http_client=http, max_retries=0
    ) as client:
        models = await client.models.list()
    assert (models.data, service.attempts("/models")) == ([], 3)


def test_an_error_of_openai_has_the_story(service: FailingService) -> None:
    """It stems from an error of the library."""
    openai = pytest.importorskip("openai")
    library = library_of(openai.DefaultHttpxClient)
    http = library.Client(transport=ResilientTransport(client=service.client))
    client = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:1", http_client=http, max_retries=0)
    with client, pytest.raises(openai.APIConnectionError) as caught:
        client.models.list()
    assert "attempt 3: ConnectError" in explain(caught.value)


def test_anthropic(service: FailingService) -> None:
    """A message, which is a POST."""
    anthropic = pytest.importorskip("anthropic")
    library = library_of(anthropic.DefaultHttpxClient)
    service.responds("/v1/messages", failures=(PAUSE, PAUSE), json=MESSAGE)
    http = library.Client(transport=ResilientTransport(client=service.client))
    with anthropic.Anthropic(api_key="k", base_url=service.url, http_client=http, max_retries=0) as client:
        message = client.messages.create(model="m", max_tokens=9, messages=QUESTION)
    assert (message.content[0].text, service.attempts("/v1/messages")) == ("paid", 3)


@pytest.mark.asyncio
async def test_anthropic_in_asyncio(service: FailingService) -> None:
    """Likewise."""
    anthropic = pytest.importorskip("anthropic")
    library = library_of(anthropic.DefaultAsyncHttpxClient)
    service.responds("/v1/messages", failures=(PAUSE, PAUSE), json=MESSAGE)
    http = library.AsyncClient(transport=AsyncResilientTransport(client=service.client))
    async with anthropic.AsyncAnthropic(
        api_key="k", base_url=service.url, http_client=http, max_retries=0
    ) as client:
        message = await client.messages.create(model="m", max_tokens=9, messages=QUESTION)
    assert (message.content[0].text, service.attempts("/v1/messages")) == ("paid", 3)


ORDER = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {"id": {"type": "string"}, "total": {"type": "integer"}},
}
ORDERS = {
    "openapi": "3.1.0",
    "info": {"title": "Orders", "version": "1"},
    "paths": {
        "/orders/{id}": {
            "get": {
                "operationId": "getOrder",
                "tags": ["orders"],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": {
                        "description": "the order",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                    }
                },
            }
        }
    },
    "components": {"schemas": {"Order": ORDER}},
}


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client made by openapi-python-client."""
    pytest.importorskip("openapi_python_client")
    (tmp_path / "spec.json").write_text(json.dumps(ORDERS))
    command = ["generate", "--path", "spec.json", "--output-path", "orders_api", "--meta", "none"]
    subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command],
        cwd=tmp_path, check=False, capture_output=True, timeout=60,  # it wants ruff, to format what it has made
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("orders_api.client"), importlib.import_module(
        "orders_api.api.orders.get_order"
    )


def test_a_generated_client(service: FailingService, generated: Any) -> None:
    """An order."""
    module, get_order = generated
    service.responds("/orders/42", json={"id": "42", "total": 5})
    client = module.Client(service.url, httpx_args={"transport": ResilientTransport(client=service.client)})
    with client as entered:
        order = get_order.sync("42", client=entered)
    assert (order.total, service.attempts("/orders/42")) == (5, 3)
