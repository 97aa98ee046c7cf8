"""From a user's arguments to a `Call`: checked, and completed from the client's configuration.

All argument errors are raised here, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from .. import policies
from ..core import machines
from ..core.call import Call, CallOptions, StreamOptions
from ..core.checks import check_call_name, check_count, check_duration, check_flag, warn_of_milliseconds
from ..core.deadline import AMBIENT_DEADLINE, earliest
from ..core.nesting import current_scope
from ..core.origins import parse_key, state_key
from ..core.timeouts import Timeout
from ..drivers.call_ids import CALL_IDS
from ..drivers.imports import import_apart
from ..errors import ClientClosedError, ConfigurationError, InvalidRequestError
from ..http.cookies.header import cookie_header
from ..http.header_validation import validate_once
from ..http.headers import Headers, build_headers
from ..http.messages import HttpRequest
from ..http.preparation import parse_method
from ..http.urls import is_relative, normalise_url, origin_of, redact_url
from .call_policies import chosen, chosen_fallback, chosen_hedging, is_switch, uses_budget
from .config.defaults import CLIENT_DEFAULT
from .config.resolved import check_alternates, parse_base_url, standard_headers
from .keywords import IN_THE_REQUEST, SPECIAL, Data, Params, about_keyword
from .results import check_type
from .wiring import load_auth, load_templates

if TYPE_CHECKING:
    from ..core.layer import Handler
    from ..core.layers.download import Download
    from ..core.machines.circuit_breaker.breaker import CircuitBreaker
    from ..core.machines.hosts import Hosts
    from ..core.origins import OriginRegistry
    from ..drivers.clocks import Clock
    from ..events import Event
    from ..http.auth.flow import AuthFlow
    from ..http.auth.netrc import NetrcEntries
    from ..http.bodies.progress import Progress
    from ..http.cookies.jar import CookieJar
    from .backends import Backends
    from .config.client_config import HttpClientConfig
    from .routes import LiveRoutes
    from .wiring import Pipelines

__all__ = ["CallBuilder", "override"]


# How a call is made: its options, key, name, total timeout and circuit breaker, as its keywords say; whether the budget pays for
# its retries; and what the caller says of its idempotence.
_How = tuple[CallOptions, str | None, str | None, float | None, Any, bool, bool | None]


class _Lifetime:
    """What a client and its views have in common for as long as it is open."""

    __slots__ = ("__weakref__", "is_closed")

    def __init__(self) -> None:
        self.is_closed = False


class CallBuilder:
    """Makes calls for one client.

    origins: the state that calls share.   listener: called with each event of each call.
    lifetime: once it is closed, `build` raises ClientClosedError.
    policies: the circuit breakers that single calls brought along, by their ids.   on_change: called with their changes.
    logins: those of the netrc file, which is read once for a configuration.

    It has all that a call depends on, so that each call goes by the settings of one instant: see `use`.
    """

    jar: CookieJar | None
    cache: policies.Cache | None
    pipelines: Pipelines
    backends: Backends
    connection_settings: tuple[object, ...]
    logins: NetrcEntries | None
    new_foreign_calls: Callable[[], Handler]
    routes: LiveRoutes | None

    def __init__(
        self,
        config: HttpClientConfig,
        base_url: str | None,
        origins: OriginRegistry,
        clock: Clock,
        listener: Callable[[Event], None],
    ) -> None:
        self._config = config
        self._base_url = parse_base_url(base_url)
        self._hosts = _hosts_of(self._base_url, config.resolved.alternate_urls)
        self.origins = origins
        self._now = clock.monotonic
        self._listener = listener
        self.on_change: Callable[[Any], None] = listener
        resolved = config.resolved
        self._options = CallOptions(
            resolved.timeout,
            config.allowed_redirect_count,
            resolved.retry,
            is_nested=False,
            fallback=resolved.fallback,
        )
        # What a call that sets a total has beside it.
        self._without_total = Timeout(connect=resolved.timeout.connect, pool=resolved.timeout.pool)
        self._has_own_fallback = False  # as a view may, be it none at all
        self._state_key = resolved.state_key
        self._codec = resolved.json_codec
        # Read with each call.
        self._total_timeout, self._adds_keys = config.total_timeout, config.auto_idempotency_key
        self.routes = None
        if resolved.routes is not None:
            from .routes import LiveRoutes

            self.routes = LiveRoutes(resolved.routes, clock)
        self._asks_each_call = self.routes is not None
        if self._adds_keys:
            import_apart(_load_keys)
        self.lifetime = _Lifetime()
        # By id: policies with the same settings are equal, and have a circuit each.
        self.policies: WeakValueDictionary[int, policies.CircuitBreakerPolicy] = WeakValueDictionary()
        headers = standard_headers(resolved.pool)
        override(headers, resolved.headers)
        headers.secret_names = resolved.secret_names
        self._set_headers(headers, resolved.auth)

    @cached_property
    def foreign_calls(self) -> Handler:
        """The layers of calls whose exchanges another library makes."""
        return self.new_foreign_calls()

    def use(
        self,
        pipelines_with: Callable[[CookieJar | None, policies.Cache | None], Pipelines],
        jar: CookieJar | None,
        cache: policies.Cache | None,
    ) -> None:
        """Set the layers of the calls.   pipelines_with: makes them for a cookie jar and a cache."""
        self.pipelines_with = pipelines_with
        self.jar, self.cache = jar, cache
        self.pipelines = pipelines_with(jar, cache)
        self.__dict__.pop("foreign_calls", None)

    @property
    def config(self) -> HttpClientConfig:
        """The configuration of the client."""
        return self._config

    @property
    def base_url(self) -> str | None:
        """The prefix of relative URLs, or None."""
        return self._base_url

    @property
    def base_origins(self) -> Sequence[str]:
        """Those of `base_url` and of the URLs that stand in for it, if there are any."""
        return () if self._hosts is None else self._hosts.origins

    @property
    def is_closed(self) -> bool:
        """Whether `build` raises ClientClosedError."""
        return self.lifetime.is_closed

    def _set_headers(self, headers: Headers, auth: str | AuthFlow | None) -> None:
        """Set the headers of each call, and its credentials: an Authorization header, or the flow that makes one."""
        validate_once(headers)
        self._without_auth = headers
        self._headers = headers.copy()
        if isinstance(auth, str):
            self._headers["Authorization"] = auth
            validate_once(self._headers)
        self._blank = HttpRequest("GET", "", headers=self._headers)
        self._blank._codec = self._codec
        self._client_auth = auth
        self._auth = None if isinstance(auth, str) else auth
        if self._auth is not None:
            import_apart(load_auth)

    def total_timeout(self, options: Mapping[str, Any]) -> float | None:
        """The timeout of a whole call with these keywords. Raises ConfigurationError."""
        given: float | None = options.get("total_timeout", self._config.total_timeout)
        check_duration("total_timeout", given)
        return given

    def streaming(
        self,
        max_size: int | None,
        options: Mapping[str, object],
        download: Download | None = None,
    ) -> StreamOptions:
        """The options of a call whose body is read as it comes. Raises ConfigurationError."""
        if options.get("response_type") is not None:
            raise ConfigurationError(
                "response_type needs a response that is read whole; call request() for it"
            )
        fallback, hedging = options.get("fallback"), options.get("hedging")
        if not is_switch(fallback) and isinstance(fallback, policies.FallbackPolicy):
            raise ConfigurationError(
                "fallback stands in for a response that is read whole; call request() for it, or handle the error"
            )
        if not is_switch(hedging) and isinstance(hedging, policies.HedgingPolicy):
            raise ConfigurationError("hedging needs a response that is read whole; call request() for it")
        if max_size is not CLIENT_DEFAULT:
            if max_size is not None:
                check_count("max_response_size", max_size, unit="of bytes ")
            most = max_size
        else:
            # Of a stream, the client's limit bounds what is kept: a stream of small items may go on for hours.
            most = self._config.max_response_size
            max_size = None if download is None else most
        return StreamOptions(max_size, most, self._config.enable_response_decompression, download)

    def build(self, method: str, url: str, response_type: Any = None, /, **keywords: Any) -> Call:
        """Make the call of these arguments.   keywords: those of `_requested` and `_special`.

        Raises InvalidRequestError or ConfigurationError; TypeError for an unknown keyword; ClientClosedError.
        """
        return self.build_of(method, url, response_type, keywords)

    def build_of(self, method: str, url: str, response_type: Any, keywords: Mapping[str, Any]) -> Call:
        """As `build`, with the keywords as a mapping: many calls have none."""
        if self.lifetime.is_closed:
            raise ClientClosedError("this HttpServiceClient was closed; make a new one")
        if keywords:
            request, flow, how = self._requested(method, url, **keywords)
        else:
            request, flow = self._blank.copy(), self._auth
            request.method = parse_method(method)
            request.url = normalise_url(url, None, self._base_url)
            how = self._how(request, None)
        options, key, name, total_timeout, circuit_breaker, has_budget, idempotent = how
        if self._adds_keys and idempotent is None and not request.is_safe_to_repeat:
            from .idempotency_keys import add_idempotency_key

            add_idempotency_key(request, self._config.quote_idempotency_key)
        state_name = origin_of(request.url)
        if key is None and self._state_key is not None:
            from .state_keys import key_of

            key = key_of(self._state_key, request)
        if key is not None:
            state_name = state_key(state_name, parse_key(key))
            options = options.but(key=key)
        state = self.origins.get(state_name)
        breaker = state.breaker
        if circuit_breaker is not CLIENT_DEFAULT:
            breaker = self._chosen_breaker(circuit_breaker, breaker)
        if flow is not None:
            options = options.but(auth=flow)
        if response_type is not None:
            check_type(response_type)
        deadline_at = None
        if total_timeout is not None or AMBIENT_DEADLINE.get() is not None:
            deadline_at = earliest(total_timeout, self._now)
        call = Call(
            request,
            state_name,
            state,
            breaker,
            options,
            self._now,
            deadline_at,
            self._listener,
            CALL_IDS.new(),
            name,
        )
        if not has_budget:
            call.budget = None
        if self._hosts is not None and keywords.keys().isdisjoint(_WITH_A_REQUEST) and is_relative(url):
            from ..core.layers.hosts import HostsOfCall

            call.hosts = HostsOfCall(self._hosts, self.origins, key, breaker is not state.breaker)
        return call

    def _requested(
        self,
        method: str,
        url: str,
        /,
        *,
        path_params: Mapping[str, object] | None = None,
        params: Params = None,
        headers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        json: object = None,
        data: Data = None,
        files: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        cookies: Mapping[str, object] | None = None,
        auth: tuple[str, str] | str | AuthFlow | Literal[False] | None = CLIENT_DEFAULT,
        idempotent: bool | None = None,
        _stream: StreamOptions | None = None,
        _kept: HttpRequest | None = None,
        _foreign: HttpRequest | None = None,
        _url_template: str | None = None,
        **special: Any,
    ) -> tuple[HttpRequest, AuthFlow | None, _How]:
        """The request of a call with keywords, its auth flow, and how it is made.   special: keywords that say how."""
        for keyword in special:
            if keyword not in SPECIAL:
                raise TypeError(about_keyword(keyword))
        if idempotent is not None and type(idempotent) is not bool:
            raise ConfigurationError(f"idempotent must be True, False or None, not {idempotent!r}")
        flow = self._auth
        if _kept is not None:
            request, flow = self._of_kept(_kept, auth, idempotent)
        elif _foreign is not None:  # another library has made it
            request, flow = _foreign, None
        else:
            if headers is None and cookies is None and auth is CLIENT_DEFAULT:
                merged = self._headers.copy()
            else:
                merged, flow = self._merged(headers, cookies, auth)
            codec = self._codec
            template = _url_template
            if path_params is not None:
                import_apart(load_templates)
                from ..http.path_templates import fill_path

                url, template = fill_path(url, path_params)
            request = HttpRequest(
                parse_method(method),
                normalise_url(url, params, self._base_url),
                headers=merged,
                json=json if codec is None else None,
                data=data,
                files=files,
                idempotent=idempotent,
            )
            if template is not None:
                request.url_template = template
            if codec is not None:
                request._use_codec(codec, json)
        if special or _stream is not None:
            return request, flow, self._special(request, idempotent, _stream, **special)
        return request, flow, self._how(request, idempotent)

    def _how(self, request: HttpRequest, idempotent: bool | None) -> _How:
        """How a call is made that does not say so itself."""
        if self._asks_each_call or current_scope() is not None:
            return self._special(request, idempotent, None)
        return self._options, None, None, self._total_timeout, CLIENT_DEFAULT, True, idempotent

    def _special(
        self,
        request: HttpRequest,
        idempotent: bool | None,
        stream: StreamOptions | None,
        *,
        timeout: float | Timeout | None = CLIENT_DEFAULT,
        total_timeout: float | None = CLIENT_DEFAULT,
        allow_redirects: bool = True,
        retry_policy: policies.RetryPolicy | bool | None = CLIENT_DEFAULT,
        circuit_breaker: policies.CircuitBreakerPolicy | bool | None = CLIENT_DEFAULT,
        retry_budget: bool | None = CLIENT_DEFAULT,
        fallback: policies.FallbackPolicy | bool | None = CLIENT_DEFAULT,
        hedging: policies.HedgingPolicy | bool | None = CLIENT_DEFAULT,
        key: str | None = None,
        progress: Callable[[int, int | None], object] | bool | str | None = None,
        decompress: bool = CLIENT_DEFAULT,
        name: str | None = None,
        error_type: Any = None,
    ) -> _How:
        """How a call is made that says so itself, whose route does, or that is made inside another."""
        if name is not None:
            check_call_name(name)
        route = None if self.routes is None else self.routes.of(request, self._base_url)
        route_fallback: Any = CLIENT_DEFAULT
        if route is not None:
            timeout = route.timeout if timeout is CLIENT_DEFAULT else timeout
            total_timeout = route.total_timeout if total_timeout is CLIENT_DEFAULT else total_timeout
            retry_policy = route.retry_policy if retry_policy is CLIENT_DEFAULT else retry_policy
            circuit_breaker = route.circuit_breaker if circuit_breaker is CLIENT_DEFAULT else circuit_breaker
            retry_budget = route.retry_budget if retry_budget is CLIENT_DEFAULT else retry_budget
            decompress = route.decompress if decompress is CLIENT_DEFAULT else decompress
            if request.idempotent is None:
                idempotent = request.idempotent = route.idempotent
            key = route.key if key is None else key
            name = route.name if name is None else name
            error_type = route.error_type if error_type is None else error_type
            if stream is None:
                hedging = route.hedging if hedging is CLIENT_DEFAULT else hedging
                route_fallback = CLIENT_DEFAULT if self._has_own_fallback else route.fallback
        if decompress is not CLIENT_DEFAULT:
            check_flag("decompress", decompress)
            request.decompress = decompress
            if stream is not None:
                stream = stream._replace(decompress=decompress)
        check_flag("allow_redirects", allow_redirects)
        report, on_finish = None, None
        if progress is not None and progress is not False:
            report, on_finish = _progress(progress, stream is not None and stream.download is not None)
        if stream is None or stream.download is None:
            request.progress = report
        chosen_fallback_settings = self._options.fallback
        if fallback is not CLIENT_DEFAULT:
            chosen_fallback_settings = self._chosen_fallback(fallback, request.method)
        elif route_fallback is not CLIENT_DEFAULT:
            chosen_fallback_settings = chosen_fallback(route_fallback, self._config.resolved.fallback)
        if total_timeout is CLIENT_DEFAULT:
            total_timeout = self._total_timeout
        else:
            check_duration("total_timeout", total_timeout)
        if error_type is not None:
            check_type(error_type)
        scope = current_scope()
        options = CallOptions(
            timeout=self._chosen_timeout(timeout, circuit_breaker),
            max_redirects=self._options.max_redirects if allow_redirects else 0,
            retry=chosen("retry_policy", retry_policy, self._options.retry, "RetryPolicy"),
            is_nested=scope is not None and scope.in_charge() is not None,
            stream=stream,
            progress=report,
            on_finish=on_finish,
            error_type=error_type,
            fallback=chosen_fallback_settings,
            hedging=True if hedging is CLIENT_DEFAULT else chosen_hedging(hedging),
        )
        has_budget = retry_budget is CLIENT_DEFAULT or uses_budget(retry_budget)
        return options, key, name, total_timeout, circuit_breaker, has_budget, idempotent

    def build_kept(self, request: HttpRequest, response_type: Any = None, /, **options: Any) -> Call:
        """Make the call that sends a request which was kept.   options: see `SendOptions`."""
        if not isinstance(request, HttpRequest):
            raise InvalidRequestError(
                f"send takes an HttpRequest, such as error.request, not {type(request).__name__}"
            )
        for name in options:
            if name in IN_THE_REQUEST:
                raise TypeError(f"send takes no keyword {name!r}; change the request before")
        return self.build_of(request.method, request.url, response_type, {**options, "_kept": request})

    def _of_kept(
        self, kept: HttpRequest, auth: Any, idempotent: bool | None
    ) -> tuple[HttpRequest, AuthFlow | None]:
        """The request of a call that sends one that was kept, and its auth flow.

        What it says itself comes first, then the client's headers: they take the place of secrets that stayed behind.
        """
        kept.body  # noqa: B018  # encoded now, as it was kept, and not by the codec of this client
        request = kept.copy()
        request._codec = self._config.resolved.json_codec
        request.method = parse_method(kept.method)
        request.url = normalise_url(kept.url, None, self._base_url)
        if request.url_template is not None:
            import_apart(load_templates)
            from ..http.path_templates import is_of_template

            if not is_of_template(request.url, request.url_template):  # the URL was changed
                request.url_template = None
        shown = redact_url(request.url)
        if "***" in kept.url:
            raise InvalidRequestError(
                f"the URL {shown} has *** for a secret that is not in a pickle; set request.url, "
                "or set request.pickles_secrets before pickling"
            )
        if not kept.body.may_send:
            raise InvalidRequestError(
                f"the body of {kept.method} {shown} was a stream, which cannot be kept; set request.content"
            )
        given = build_headers(kept.headers)
        withheld = [name for name, value in given.items() if "***" in value and name in given.secret_names]
        for name in ("Content-Length", *withheld, *(() if auth is CLIENT_DEFAULT else ("Authorization",))):
            given.pop(name, None)  # the length is set again
        is_own = auth is CLIENT_DEFAULT
        # A server chose the origin that a redirect led to, and must not get the client's credentials by it.
        auth = None if is_own and kept.left_origin else auth
        request.headers, flow = self._merged(given, None, auth)
        if kept.left_origin:
            added = {name.lower() for name in request.headers if name not in given}
            secret = {name for name in added if name in request.headers.secret_names}
            request.headers = request.headers.without(secret if is_own else secret - {"authorization"})
        if flow is None and not self._config.request_signers:  # which add theirs later
            request.withheld = tuple(
                name for name in withheld if self._config.cookies is False or name != "Cookie"
            )
        request.progress = None
        if idempotent is not None:
            request.idempotent = idempotent
        return request, flow

    def _merged(
        self, headers: Any, cookies: Mapping[str, object] | None, auth: Any
    ) -> tuple[Headers, AuthFlow | None]:
        """The headers of a call that sets some itself, and its auth flow."""
        merged = (self._headers if auth is CLIENT_DEFAULT else self._without_auth).copy()
        flow = self._auth
        is_mapping = type(headers) is dict or isinstance(headers, Mapping)
        if not is_mapping and isinstance(headers, Iterator):
            headers = list(headers)  # it is read twice
        given = build_headers(headers)
        if headers is not None:
            for field in given._fields.values():
                if "***" in field:
                    _refuse_redacted(given)
            override(merged, given)
            if "Range" in given and "Accept-Encoding" not in given:
                # A part of an encoded body cannot be decoded on its own (RFC 9110, 14.1.2: bytes count after coding).
                merged["Accept-Encoding"] = "identity"
            if "Authorization" in given:  # it replaces the client's own auth
                flow = None
            pairs = headers.items() if is_mapping else headers
            if left_out := [(name, "") for name, value in pairs if value is None]:
                for name in Headers(left_out):
                    merged.pop(name, None)
                    if name.lower() == "authorization":
                        flow = None
        if cookies:
            if "Cookie" in given:
                raise InvalidRequestError("both cookies and a Cookie header are set; set only one")
            pairs = cookie_header(cookies)
            if pairs:
                merged["Cookie"] = pairs
        if auth is CLIENT_DEFAULT:
            return merged, flow
        import_apart(_load_credentials)
        from ..http.auth.flow import parse_auth

        parsed = parse_auth(auth)
        if parsed is None:
            return merged, None
        if "Authorization" in given:
            raise InvalidRequestError("both auth and an Authorization header are set; set only one")
        if not isinstance(parsed, str):
            merged.pop("Authorization", None)  # a default header; the flow sets it
            import_apart(load_auth)
            return merged, parsed
        merged["Authorization"] = parsed
        return merged, None

    def _chosen_breaker(self, given: Any, default: CircuitBreaker | None) -> CircuitBreaker | None:
        policy: Any = chosen("circuit_breaker", given, default, "CircuitBreakerPolicy")
        if is_switch(given):
            return policy  # type: ignore[no-any-return]  # the default, or None
        policy.listeners.subscribe(self.lifetime, self.on_change)  # once for the client and all its views
        self.policies[id(policy)] = policy
        return policy.breaker  # type: ignore[no-any-return]  # of a policy

    def _chosen_fallback(self, given: Any, method: str) -> machines.FallbackSettings | None:
        chosen_one = chosen_fallback(given, self._options.fallback)
        if not is_switch(given) and not given.settings.may_answer(method):
            raise ConfigurationError(
                f"fallback would hide that a {method} failed, and may have been processed; "
                "if that is meant, write FallbackPolicy(…, unsafe_methods=True)"
            )
        return chosen_one

    def _chosen_timeout(self, given: Any, breaker: Any) -> Timeout:
        """The call's own timeout or the client's, cut to the timeout of a breaker that the call sets."""
        if given is CLIENT_DEFAULT:
            timeout = self._options.timeout
        elif isinstance(given, Timeout):
            timeout = given
        elif isinstance(given, (tuple, Mapping)):
            raise ConfigurationError(
                f"timeout must be seconds or a Timeout, not {given!r}; write Timeout(total=…, connect=…, read=…)"
            )
        else:
            check_duration("timeout", given)
            warn_of_milliseconds("timeout", given)
            timeout = self._without_total.with_total(given)
        own = chosen("circuit_breaker", breaker, None, "CircuitBreakerPolicy")
        return timeout if own is None else timeout.within(own.timeout)


def _hosts_of(base_url: str | None, alternate_urls: Sequence[str]) -> Hosts | None:
    """The base URLs of a client, if there are several."""
    if not alternate_urls:
        return None
    if base_url is None:
        raise ConfigurationError(
            f"alternate_urls is {list(alternate_urls)}, and there is no base_url for which they stand in; set base_url, too"
        )
    check_alternates([base_url, *alternate_urls])
    from ..core.layers import hosts  # noqa: F401  # which the calls will need
    from ..core.machines.hosts import Hosts

    return Hosts([base_url, *alternate_urls])


_WITH_A_REQUEST = frozenset({"_kept", "_foreign"})


def _load_credentials() -> None:
    """Import what credentials of a call are parsed with, before it begins."""
    from ..http.auth import flow  # noqa: F401


def _load_keys() -> None:
    """Import what makes idempotency keys, before the first call."""
    from . import idempotency_keys  # noqa: F401


def _load_progress() -> None:
    """Import what progress is shown by, before the call begins."""
    from . import progress_bar  # noqa: F401


def _refuse_redacted(headers: Headers) -> None:
    """Raise InvalidRequestError for a secret header whose value was redacted: the server would take it for a wrong one."""
    for name, value in headers.items():
        if value == "***" and name in headers.secret_names:
            raise InvalidRequestError(
                f"header {name} is ***, which stands for a value that was redacted; set it, or use client.send(request)"
            )


def override(headers: Headers, given: Headers) -> None:
    """Replace the headers of the same names, repeats included. The new ones come last, in their order."""
    fields = headers._fields
    for key, field in given._fields.items():
        fields.pop(key, None)
        fields[key] = field


def _progress(given: Any, may_be_async: bool) -> tuple[Progress | None, Callable[[], None] | None]:
    """What is called with the progress of a call, and at its end."""
    import_apart(_load_progress)
    from .progress_bar import ProgressBar, parse_progress

    report = parse_progress(given, may_be_async=may_be_async)
    return report, report.close if isinstance(report, ProgressBar) else None
