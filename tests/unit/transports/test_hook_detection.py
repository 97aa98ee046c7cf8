"""Whether a library is hooked into, found out from the modules that are imported. These are made here, so none is patched for others."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.over_aiohttp import hook_detection as of_aiohttp
from http_service_client.transports.over_requests import hook_detection as of_requests

SESSIONS, ADAPTERS = "requests.sessions", "requests.adapters"
CLIENT, CONNECTOR = "aiohttp.client", "aiohttp.connector"
POOLS = "urllib3.connectionpool"

SOURCES = {
    SESSIONS: """
class SessionRedirectMixin: pass

class Session(SessionRedirectMixin):
    def send(self): pass
    def get_adapter(self): pass
""",
    ADAPTERS: """
class BaseAdapter: pass

class HTTPAdapter(BaseAdapter):
    def send(self): pass
    def build_response(self): pass
""",
    CLIENT: """
class ClientSession:
    def __init__(self): pass
    def _request(self): pass
""",
    CONNECTOR: """
class TCPConnector:
    def _resolve_host(self): pass
""",
    POOLS: """
class HTTPConnectionPool: pass
class HTTPSConnectionPool: pass
""",
}


class Library:
    """What is imported, as the detection sees it.

    waits: whether instrumentation waits for the import.   on_import: called instead of it.   imports: how often so far.
    """

    def __init__(self, detection: Any, modules: list[str], hooks: list[tuple[str, str, str]]) -> None:
        self.detection = detection
        self.names = modules
        self.hooks = hooks
        self.modules: dict[str, ModuleType] = {}
        self.waits = False
        self.on_import: Callable[[], object] = lambda: None
        self.imports = 0

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(self.detection, "sys", SimpleNamespace(modules=self.modules))
        patch.setattr(self.detection, "waits_for_imports", lambda: self.waits)
        patch.setattr(self.detection, "import_apart", self._import)
        for name in ("_classes", "_session", "_connector"):
            patch.setattr(self.detection, name, None, raising=False)
        patch.setattr(self.detection, "_own", (None,) * len(self.hooks))

    def _import(self, load: Callable[[], None]) -> None:
        assert load.__module__ == self.detection.__name__
        self.imports += 1
        self.on_import()

    def add(self, *names: str) -> None:
        """These modules are imported; all of the library where none is named."""
        for name in names or self.names:
            module = self.modules[name] = ModuleType(name)
            exec(SOURCES[name], vars(module))

    @property
    def is_hooked(self) -> bool:
        found = self.detection.is_hooked()
        assert isinstance(found, bool)
        return found

    def owner(self, hook: tuple[str, str, str]) -> Any:
        """The class whose function this hook replaces."""
        return getattr(self.modules[hook[0]], hook[1])

    def put(self, hook: tuple[str, str, str]) -> Any:
        """Replace the function; returns its own one."""
        own = vars(self.owner(hook))[hook[2]]
        setattr(self.owner(hook), hook[2], lambda *given: own(*given))
        return own


REQUESTS: tuple[Any, ...] = (
    of_requests,
    [SESSIONS, ADAPTERS],
    [
        (SESSIONS, "Session", "send"),
        (SESSIONS, "Session", "get_adapter"),
        (ADAPTERS, "HTTPAdapter", "send"),
        (ADAPTERS, "HTTPAdapter", "build_response"),
    ],
)
AIOHTTP: tuple[Any, ...] = (
    of_aiohttp,
    [CLIENT, CONNECTOR],
    [
        (CLIENT, "ClientSession", "_request"),
        (CLIENT, "ClientSession", "__init__"),
        (CONNECTOR, "TCPConnector", "_resolve_host"),
    ],
)


@pytest.fixture(params=[REQUESTS, AIOHTTP], ids=["requests", "aiohttp"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Each library in turn; nothing of it is imported yet."""
    made = Library(*request.param)
    made.patch(monkeypatch)
    return made


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Library:
    """requests alone."""
    made = Library(*REQUESTS)
    made.patch(monkeypatch)
    return made


@pytest.fixture
def aiohttp(monkeypatch: pytest.MonkeyPatch) -> Library:
    """aiohttp alone."""
    made = Library(*AIOHTTP)
    made.patch(monkeypatch)
    return made


def test_what_is_not_imported_is_not_hooked_into(library: Library) -> None:
    """And it is not imported for our sake."""
    assert not library.is_hooked
    assert library.imports == 0


def test_what_another_thread_is_importing_is_not_hooked_into_yet(library: Library) -> None:
    """One module may be there before the other, and a module before its classes."""
    for name in library.names:
        library.modules.clear()
        library.add(name)
        assert not library.is_hooked
        library.add()
        library.modules[name] = ModuleType(name)
        assert not library.is_hooked
    assert library.imports == 0
    library.add()
    assert not library.is_hooked
    library.put(library.hooks[0])
    assert library.is_hooked


def test_a_library_as_it_is_has_no_hook(library: Library) -> None:
    """However often one asks."""
    library.add()
    assert [library.is_hooked for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("asked_before", [False, True])
def test_each_hook_is_seen_for_as_long_as_it_is_there(library: Library, asked_before: bool) -> None:
    """Alone, whether it comes before the first exchange or between two."""
    library.add()
    for hook in library.hooks:
        if asked_before:
            assert not library.is_hooked
        own = library.put(hook)
        assert [library.is_hooked for _ in range(2)] == [True, True]
        setattr(library.owner(hook), hook[2], own)
    assert not library.is_hooked


def test_another_class_in_the_place_of_the_library_s_is_no_hook(library: Library) -> None:
    """It is for those who make it by that name: our sessions are of the library's own class, which has a hook or none."""
    library.add()
    assert not library.is_hooked
    for hook in library.hooks:
        own = library.owner(hook)
        setattr(library.modules[hook[0]], hook[1], type("Cached", (own,), {hook[2]: lambda self: None}))
        assert not library.is_hooked
        setattr(library.modules[hook[0]], hook[1], own)
    library.put(library.hooks[0])
    assert library.is_hooked


def test_a_library_is_imported_for_what_waits_for_it(library: Library) -> None:
    """And for nothing else. What has come with it is a hook, or another thing."""
    library.waits = True
    assert not library.is_hooked  # it is not installed
    library.on_import = library.add
    assert not library.is_hooked
    assert library.imports == 2
    assert not library.is_hooked
    assert library.imports == 2
    library.modules.clear()
    library.detection._classes = library.detection._session = None
    library.on_import = lambda: (library.add(), library.put(library.hooks[0]))
    assert library.is_hooked
    assert library.imports == 3


@pytest.mark.parametrize("imported", [SESSIONS, ADAPTERS])
def test_requests_is_imported_to_its_end_for_what_waits_for_it(requests: Library, imported: str) -> None:
    """A program may have imported a part of it."""
    requests.waits = True
    requests.add(imported)
    requests.on_import = lambda: (requests.add(), requests.put(requests.hooks[0]))
    assert requests.is_hooked
    assert requests.imports == 1


def test_requests_own_classes_are_found_whatever_is_in_their_place(requests: Library) -> None:
    """By what they derive from; by their names in another release of requests."""
    assert of_requests.own_classes() == (None, None)
    requests.add()
    sessions, adapters = requests.modules[SESSIONS], requests.modules[ADAPTERS]
    own = sessions.Session, adapters.HTTPAdapter
    assert of_requests.own_classes() == own
    sessions.Session = type("Session", (sessions.SessionRedirectMixin,), {"__module__": "cached"})
    adapters.HTTPAdapter = type("Other", (adapters.BaseAdapter,), {"__module__": ADAPTERS})
    assert of_requests.own_classes() == own
    del sessions.SessionRedirectMixin, adapters.BaseAdapter
    assert of_requests.own_classes() == (sessions.Session, adapters.HTTPAdapter)


def test_requests_own_class_is_not_another_one_that_was_made_before_it(requests: Library) -> None:
    """Neither one of the same name elsewhere, nor one of another name in the same module."""
    base = type("SessionRedirectMixin", (), {})
    others = [
        type("Session", (base,), {"__module__": "another"}),
        type("Other", (base,), {"__module__": SESSIONS}),
    ]
    own = type("Session", (base,), {"__module__": SESSIONS})
    requests.add()
    requests.modules[SESSIONS].SessionRedirectMixin = base  # type: ignore[attr-defined]
    requests.modules[SESSIONS].Session = others[0]  # type: ignore[attr-defined]
    assert of_requests.own_classes()[0] is own


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_recorder_is_a_class_of_vcrpy_in_the_pools_of_urllib3(requests: Library, scheme: str) -> None:
    """One scheme after the other. A class of another library connects past our limits, and is ignored."""
    requests.add(SESSIONS, ADAPTERS, POOLS)
    requests.modules["vcr"] = ModuleType("vcr")
    assert not requests.is_hooked
    pools: Any = requests.modules[POOLS]
    kind = getattr(pools, f"{scheme.upper()}ConnectionPool")
    for module, is_recorder in (("mocket.ssl", False), ("vcr.stubs", True), ("vcrlike", False)):
        kind.ConnectionCls = type("Connection", (), {"__module__": module})
        assert requests.is_hooked is is_recorder
        assert of_requests.is_recorded(scheme) is is_recorder
    assert not of_requests.is_recorded("ftp")
    del requests.modules[POOLS]
    assert not of_requests.is_recorded(scheme)


def test_what_is_private_to_aiohttp_may_have_other_names_in_another_release(aiohttp: Library) -> None:
    """Whoever hooks in there knows them; a hook in what is documented is still seen."""
    aiohttp.add()
    del aiohttp.modules[CLIENT].ClientSession._request
    del aiohttp.modules[CONNECTOR].TCPConnector._resolve_host
    assert not aiohttp.is_hooked
    aiohttp.put(aiohttp.hooks[1])
    assert aiohttp.is_hooked


def test_aiohttp_s_own_session_class_is_known_from_its_import_on(aiohttp: Library) -> None:
    """Later, whatever is in its place."""
    assert of_aiohttp.own_session_class() is None
    aiohttp.add()
    client = aiohttp.modules[CLIENT]
    own = client.ClientSession
    assert of_aiohttp.own_session_class() is own
    client.ClientSession = type("ClientSession", (), {"__module__": "another"})  # type: ignore[attr-defined]
    assert of_aiohttp.own_session_class() is own
