"""The context of a call, made by hand: to test an interceptor without a client."""

from __future__ import annotations

from http_service_client import HttpContext, HttpRequest


def test_a_context_of_one_s_own_has_every_attribute() -> None:
    """As before the first attempt of a call without a name, a template or a timeout."""
    request = HttpRequest("GET", "https://api.example.com/orders")
    context = HttpContext(request, "https://api.example.com")
    assert context.request is request
    assert context.key == "https://api.example.com"
    assert (context.attempt, context.call_id) == (0, "")
    assert (context.call_name, context.url_template, context.deadline_at) == (None, None, None)
    assert repr(context) == f"<HttpContext attempt 0 of {request!r}>"
    assert HttpContext(request).key == ""


def test_a_correlation_id_is_made_once_unless_it_is_set() -> None:
    """It is the same at each reading, and no other context has it."""
    context, other = (HttpContext(HttpRequest("GET", "https://api.example.com/")) for _ in range(2))
    assert context.correlation_id == context.correlation_id != other.correlation_id
    context.correlation_id = "mine"
    assert context.correlation_id == "mine"
