"""The drawings in the documentation show what the code does and cannot go stale."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import pytest

from architecture.rooms import FLOORS, PUBLIC_MODULES
from docs.loading import load
from http_service_client import Cache, CircuitBreakerState, Propagation
from http_service_client.core import layer_order
from http_service_client.core.layers.cache import CacheMembership
from http_service_client.core.layers.signing import Signer
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.origins import OriginRegistry
from http_service_client.http.cookies.jar import CookieJar
from http_service_client.http.headers import Headers
from http_service_client.http.secret_names import SECRET_NAMES

pytestmark = pytest.mark.once

diagrams = load("docs/_ext/diagrams.py")


def words(svg: str) -> list[str]:
    """Every text of a drawing; parsing it also proves that it is well-formed."""
    return [
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    ]


class TestPipeline:
    def test_the_drawing_has_every_layer_of_a_call_in_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The drawing shows what `call_pipeline` composes when it runs, not what its text seems to say."""
        composed: list[str] = []

        def record(layers: list[object], handler: object) -> None:
            composed.extend(type(each).__name__ for each in (*layers, handler))

        monkeypatch.setattr(layer_order, "compose", record)
        layer_order.call_pipeline(
            origins=OriginRegistry(lambda key: None, nullcontext(), lambda: 0.0),  # type: ignore[arg-type, return-value]
            connections=FairSemaphore(1, lock=nullcontext()),
            interceptors=((), ()),
            prepare=lambda request, original: None,
            secret_names=SECRET_NAMES,
            compression=(1024, "gzip"),
            cookies=CookieJar(),
            egress=None,
            max_size=None,
            random=lambda: 0.0,
            wall_clock=lambda: 0.0,
            report=lambda condition: None,
            observe=None,
            is_download=True,
            auth=(Headers(), None),  # type: ignore[arg-type]
            signers=[Signer("sign", print, False)],
            propagation=Propagation(),
            fallback=object(),  # type: ignore[arg-type]
            has_hosts=True,
            has_hedges=True,
            collect=None,
            has_gates=True,
            has_rate_limit=True,
            chaos=(object(), object()),  # type: ignore[arg-type]
            checks_deadlines=True,
            sheds_load=True,
            adapts_limits=True,
            has_bulkheads=True,
            cache=CacheMembership(Cache().state, str, True, False, False, None, None, None),
            telemetry=SimpleNamespace(header_names=()),  # type: ignore[arg-type]
        )
        drawn = [stage.name.replace(" ", "").lower() for stage in diagrams.pipeline_stages()]
        assert drawn == [name.removesuffix("Layer").lower() for name in composed]

    def test_drawing_and_table_name_and_explain_each_layer(self) -> None:
        """Everything that was read from the code is shown."""
        shown = words(diagrams.pipeline_svg())
        rows = diagrams.pipeline_table()[1:]
        for stage, row in zip(diagrams.pipeline_stages(), rows, strict=True):
            assert {stage.name, stage.comment} <= set(shown)
            assert row == [stage.name, stage.promise, f"`{stage.file}`"]
            assert stage.promise

    def test_a_new_layer_appears_by_itself(self) -> None:
        """One more line in the list is one more frame in the drawing."""
        source = inspect.getsource(layer_order)
        line = next(line for line in source.splitlines() if "CircuitBreakerLayer()," in line)
        longer = source.replace(line, f"{line}\n            CircuitBreakerLayer(),  # a slot in the bulkhead")
        stages = diagrams.pipeline_stages(longer)
        assert len(stages) == len(diagrams.pipeline_stages()) + 1
        assert "a slot in the bulkhead" in words(diagrams.pipeline_svg(stages))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ((r"(CircuitBreakerLayer\(\),) *#.*", r"\1"), "needs a comment"),
            ((r"CircuitBreakerLayer\(\),", "NoSuchLayer(),"), "NoSuchLayer"),
            ((r"def call_pipeline", "def another"), "call_pipeline"),
        ],
    )
    def test_a_layer_that_cannot_be_drawn_fails_the_build(
        self, change: tuple[str, str], message: str
    ) -> None:
        """The error says what is missing; a gap in the drawing would not."""
        source = re.sub(*change, inspect.getsource(layer_order))
        with pytest.raises(diagrams.StaleDiagramError, match=message):
            diagrams.pipeline_stages(source)

    def test_the_layers_that_repeat_are_marked(self) -> None:
        """Retries, redirects and auth flows may run the layers inside them again; no other layer does."""
        repeating = [stage.file for stage in diagrams.pipeline_stages() if stage.repeats]
        assert repeating == ["core/layers/retry.py", "core/layers/redirects.py", "core/layers/auth.py"]
        assert words(diagrams.pipeline_svg()).count("↻ repeats") == len(repeating)


class TestBreaker:
    def test_the_drawing_has_every_state(self) -> None:
        """The states are the members of the enum, each with its meaning."""
        states = diagrams.breaker_states()
        assert [state.name for state in states] == [state.name for state in CircuitBreakerState]
        assert {state.name.lower().replace("_", "-") for state in states} <= set(
            words(diagrams.breaker_svg())
        )

    def test_the_table_lists_every_transition_that_the_code_makes(self) -> None:
        """One row for each call of `_move_locked`, the only method that changes the state."""
        targets = Counter(row.target for row in diagrams.breaker_transitions())
        assert targets == Counter(_moves(diagrams.breaker_module()))

    def test_drawing_and_table_number_the_transitions_alike(self) -> None:
        """A number in the drawing leads to its row."""
        numbers = re.findall(
            r"\d+", " ".join(text for text in words(diagrams.breaker_svg()) if text[0].isdigit())
        )
        assert sorted(numbers) == sorted(row[0] for row in diagrams.breaker_table()[1:])

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("CLOSED    MELTED    it got hot", "enum does not have"),
            ("CLOSED    HALF_OPEN    a whim", "a path"),
        ],
    )
    def test_an_unknown_state_or_path_fails_the_build(self, row: str, message: str) -> None:
        """Somebody has to draw a new transition on purpose."""
        table = f"Theory.\n\n    from      to        when\n    {row}\n\nRules."
        with pytest.raises(diagrams.StaleDiagramError, match=message):
            diagrams.breaker_svg(transitions=diagrams.breaker_transitions(table))


class TestRooms:
    def test_the_drawing_has_every_room_on_its_floor(self) -> None:
        """Highest floor first, each room with the comment beside it in the list."""
        floors = diagrams.package_floors()
        assert [[room.name for room in floor] for floor in floors] == FLOORS[::-1]
        shown = words(diagrams.rooms_svg())
        for floor in floors:
            for room in floor:
                assert room.name in shown
                assert room.comment in " ".join(shown)

    def test_the_table_says_the_same_in_words(self) -> None:
        """A row for each room, with the number of its floor."""
        _, *rows = diagrams.rooms_table()
        assert [(int(row[0]) - 1, row[1].strip("`")) for row in rows] == [
            (number, room) for number, rooms in reversed([*enumerate(FLOORS)]) for room in rooms
        ]

    def test_public_rooms_are_marked(self) -> None:
        """The root and the public modules that are rooms of their own."""
        public = {room.name for floor in diagrams.package_floors() for room in floor if room.is_public}
        rooms = {room.removesuffix(".py").rstrip("/"): room for floor in FLOORS for room in floor}
        assert public == {rooms["__init__"], *(rooms[name] for name in PUBLIC_MODULES if name in rooms)}
        assert words(diagrams.rooms_svg()).count("public") == len(public)

    def test_a_new_room_appears_by_itself(self) -> None:
        """One more line in the list is one more box in the drawing."""
        source = 'FLOORS = [["http/", # rules\n"auth/", # logins\n], ["cli/" # a demo\n]]\nPUBLIC_MODULES = ["auth"]\n'
        floors = diagrams.package_floors(source)
        assert [[room.name for room in floor] for floor in floors] == [["cli/"], ["http/", "auth/"]]
        assert {"logins", "auth/", "public"} <= set(words(diagrams.rooms_svg(floors)))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ('FLOORS = [["http/"]]\nPUBLIC_MODULES = []', "http/ in FLOORS needs a comment"),
            ("PUBLIC_MODULES = []", "FLOORS is no longer assigned"),
            ("FLOORS = ROOMS\nPUBLIC_MODULES = []", "FLOORS must be a list"),
        ],
    )
    def test_rooms_that_cannot_be_drawn_fail_the_build(self, source: str, message: str) -> None:
        """The error says what is missing."""
        with pytest.raises(diagrams.StaleDiagramError, match=message):
            diagrams.package_floors(source)


def _moves(module: ModuleType) -> list[str]:
    """The target of each call of `_move_locked`, by name."""
    tree = ast.parse(inspect.getsource(module))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    moves = [node.args[0] for node in calls if ast.unparse(node.func).endswith("._move_locked")]
    return [ast.unparse(target).rpartition(".")[2].lstrip("_") for target in moves]
