"""The examples are the document's own words, but for the differences that this module lists.

Each file in `examples/` has a preamble with names that the document leaves to its reader, then blocks between
`# >>> heading` and `# <<<`. The blocks are the document's, line by line, but for the name of the package:

    the document                     an example
    from neuroglia.http import …     from http_service_client import …

The names that the preambles add, since the document uses them without saying where they come from:

    payment        PaymentProcessingError, PaymentServiceUnavailableError (which derives from it: the
                   document's test of a declined payment expects the first where the second is raised),
                   RefundProcessingError
    delivery       DeliveryServiceError; `circuit_breaker`, which finds the policy on `self`; names that an
                   earlier block imports
    notification   EmailDeliveryError, SMSDeliveryError; `retry_policy`, likewise; names of earlier blocks
    interceptors   asyncio, time, HttpRequest, HttpResponse
    registration   ServiceCollection, of neuroglia; the interceptors of an earlier block
    monitor        HttpServiceClient
    testing        time, HttpClientConfig; the service and the errors of an earlier block

And methods that the document calls but never defines, which tests add by a subclass:

    notification   NotificationService.get_email_api_key, get_sms_api_key
    interceptors   RateLimitInterceptor.get_rate_limit_wait_time
"""

from __future__ import annotations

import re
from pathlib import Path

import http_service_client
from examples.document import (
    EXAMPLES,
    as_in_an_example,
    as_in_the_document,
    document_blocks,
    example_blocks,
    needs_the_document,
)
from kit.rows import each_row


@needs_the_document
def test_every_block_of_the_document_is_in_an_example_word_for_word() -> None:
    """No block is left out or made up, and no line differs but the imports of the package."""
    expected = {
        heading: [as_in_an_example(line) for line in lines] for heading, lines in document_blocks().items()
    }
    assert example_blocks() == expected


def test_there_are_ten_blocks() -> None:
    """Also where the document is not there to compare them with."""
    assert len(example_blocks()) == 10


@each_row("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_run_by_a_test_module_of_its_name(example: Path) -> None:
    """No example is left unexecuted: the module `test_<example>.py` beside this one imports it."""
    module = Path(__file__).with_name(f"test_{example.stem}.py")
    assert re.search(rf"^(import|from) {example.stem}\b", module.read_text("utf-8"), re.MULTILINE)


def test_an_example_names_only_what_the_package_offers() -> None:
    """The names that the document imports from neuroglia.http are public names of the package."""
    named = {
        name
        for lines in example_blocks().values()
        for line in map(as_in_the_document, lines)
        if line.startswith("from neuroglia.http import ")
        for name in line.removeprefix("from neuroglia.http import ").split(", ")
    }
    assert len(named) == 14
    assert named <= set(http_service_client.__all__)
