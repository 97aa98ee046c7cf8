"""Orders that ask a stock service, as an AWS Lambda function behind an API Gateway or a function URL.

Lambda freezes a process between two events, and its monotonic clock with it: a connection that was idle for an hour looks
as if it had been idle for a moment, while the server has closed it long ago.
"""

from __future__ import annotations

import os
import time
from typing import Any

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, deadline
from http_service_client.integrations.error_responses import error_response

# Made once for each process, in the phase of Lambda that has the most CPU. Entering it imports what its calls need.
stock = HttpServiceClient(
    HttpClientConfig(base_timeout=5.0), base_url=os.environ.get("STOCK_URL", "https://stock.internal")
).__enter__()

_IDLE = 4.0  # seconds: below the idle time of what stands before the service
_last_event_at = time.time()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    global _last_event_at
    if time.time() - _last_event_at > _IDLE:  # by the wall clock, which goes on in the meantime
        stock.drop_idle_connections()
    try:
        # A second less than Lambda allows, to respond and to log before the process is killed.
        with deadline(max(0.1, context.get_remaining_time_in_millis() / 1000 - 1)):
            order = event["pathParameters"]["order"]
            items = stock.get("/items/{order}", path_params={"order": order}).raise_for_status()
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": items.text}
    except HttpClientError as error:
        response = error_response(error)
        if response is None:
            raise  # a bug of ours: Lambda's own error, and its log
        return {"statusCode": response.status, "headers": response.headers, "body": response.body.decode()}
    finally:
        _last_event_at = time.time()
