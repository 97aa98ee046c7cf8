"""The samples are the document's own words, but for what this module lists.

Each file in `samples/` has a preamble with what the document leaves to its reader, then blocks between
`# >>> heading` and `# <<<`. The blocks are the document's, line by line, but for its import lines:

    the document says                          the sample says                      why
    from neuroglia.http import …               from http_service_client import …    the package's own name
    from neuroglia.dependency_injection        from seed.standins import            neuroglia does not import
        import ServiceProviderBase                 ServiceProviderBase                  on Python 3.14

What the preambles add, since the document uses it without saying where it comes from:

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

And what the document calls but never defines, which tests add by a subclass:

    notification   NotificationService.get_email_api_key, get_sms_api_key
    interceptors   RateLimitInterceptor.get_rate_limit_wait_time
"""

from __future__ import annotations

import http_service_client
from seed.document import as_a_sample, as_in_the_document, document_blocks, needs_the_document, sample_blocks


@needs_the_document
def test_every_block_of_the_document_is_a_sample_word_for_word() -> None:
    """No block is left out, none is made up, and no line differs but the import lines of the table."""
    expected = {
        heading: [as_a_sample(line) for line in lines] for heading, lines in document_blocks().items()
    }
    assert sample_blocks() == expected


def test_there_are_ten_samples() -> None:
    """Also where the document is not there to compare them with."""
    assert len(sample_blocks()) == 10


def test_a_sample_names_only_what_the_package_offers() -> None:
    """The names that the document imports from neuroglia.http are public names of the package."""
    named = {
        name
        for lines in sample_blocks().values()
        for line in map(as_in_the_document, lines)
        if line.startswith("from neuroglia.http import ")
        for name in line.removeprefix("from neuroglia.http import ").split(", ")
    }
    assert len(named) == 14
    assert named <= set(http_service_client.__all__)
