"""The drawings in the documentation show what the code does, and cannot fall behind it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from http_service_client import CircuitBreakerState
from http_service_client.core import pipeline
from http_service_client.core.machines.semaphore import FairSemaphore
from http_service_client.core.origins import OriginRegistry
from http_service_client.http.cookies.jar import CookieJar

EXTENSION = Path(__file__).resolve().parents[2] / "docs/_ext/diagrams.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_diagrams", EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


diagrams = _load()


def words(svg: str) -> list[str]:
    """Every text of a drawing; parsing it also shows that it is well-formed."""
    return [
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")
    ]


class TestThePipeline:
    def test_the_drawing_has_every_layer_that_a_call_runs_through_in_order(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is drawn is what `call_pipeline` composes when it runs, not what its text seems to say."""
        composed: list[str] = []

        def record(layers: list[object], handler: object) -> None:
            composed.extend(type(each).__name__ for each in (*layers, handler))

        monkeypatch.setattr(pipeline, "compose", record)
        pipeline.call_pipeline(
            origins=OriginRegistry(lambda key: None, nullcontext()),  # type: ignore[arg-type, return-value]
            connections=FairSemaphore(1, lock=nullcontext()),
            interceptors=((), ()),
            prepare=lambda request, original: None,
            sensitive_headers=frozenset(),
            compression=(1024, "gzip"),
            cookies=CookieJar(),
            egress=None,
            random=lambda: 0.0,
            wall_clock=lambda: 0.0,
            report=lambda condition: None,
            is_download=True,
        )
        drawn = [stage.name.replace(" ", "").lower() for stage in diagrams.pipeline_stages()]
        assert drawn == [name.removesuffix("Layer").lower() for name in composed]

    def test_each_layer_is_named_and_explained_in_the_drawing_and_in_the_table(self) -> None:
        """Nothing that was read is left out of what is shown."""
        shown = words(diagrams.pipeline_svg())
        rows = diagrams.pipeline_table()[1:]
        for stage, row in zip(diagrams.pipeline_stages(), rows, strict=True):
            assert {stage.name, stage.comment} <= set(shown)
            assert row == [stage.name, stage.promise, f"`{stage.file}`"]
            assert stage.promise

    def test_a_new_layer_appears_by_itself(self) -> None:
        """A line more in the list is a frame more in the drawing."""
        source = inspect.getsource(pipeline)
        line = next(line for line in source.splitlines() if "CircuitBreakerLayer()," in line)
        longer = source.replace(
            line, f"{line}\n            CircuitBreakerLayer(),  # a place in the bulkhead"
        )
        stages = diagrams.pipeline_stages(longer)
        assert len(stages) == len(diagrams.pipeline_stages()) + 1
        assert "a place in the bulkhead" in words(diagrams.pipeline_svg(stages))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ((r"(CircuitBreakerLayer\(\),) *#.*", r"\1"), "needs a comment"),
            ((r"CircuitBreakerLayer\(\),", "NoSuchLayer(),"), "NoSuchLayer"),
            ((r"def call_pipeline", "def another"), "call_pipeline"),
        ],
    )
    def test_what_cannot_be_drawn_is_an_error_not_a_gap(self, change: tuple[str, str], told: str) -> None:
        """The build fails and says what is missing."""
        source = re.sub(*change, inspect.getsource(pipeline))
        with pytest.raises(diagrams.StaleDiagramError, match=told):
            diagrams.pipeline_stages(source)

    def test_the_layers_that_repeat_are_marked(self) -> None:
        """Retries and redirects run what is inside them again; nothing else does."""
        repeating = [stage.file for stage in diagrams.pipeline_stages() if stage.repeats]
        assert repeating == ["core/layers/retry.py", "core/layers/redirects.py"]
        assert words(diagrams.pipeline_svg()).count("↻ repeats") == len(repeating)


class TestTheBreaker:
    def test_the_drawing_has_every_state(self) -> None:
        """The states are the enum's, each with its meaning."""
        states = diagrams.breaker_states()
        assert [state.name for state in states] == [state.name for state in CircuitBreakerState]
        assert {state.name.lower().replace("_", "-") for state in states} <= set(
            words(diagrams.breaker_svg())
        )

    def test_the_table_lists_every_move_that_the_code_makes(self) -> None:
        """One row for each call of `_move_locked`, the one place where the state changes."""
        targets = Counter(row.target for row in diagrams.breaker_transitions())
        assert targets == Counter(_moves(diagrams.breaker_module()))

    def test_every_transition_is_numbered_alike_in_drawing_and_table(self) -> None:
        """A number in the drawing leads to its row."""
        numbers = re.findall(
            r"\d+", " ".join(text for text in words(diagrams.breaker_svg()) if text[0].isdigit())
        )
        assert sorted(numbers) == sorted(row[0] for row in diagrams.breaker_table()[1:])

    @pytest.mark.parametrize(
        ("row", "told"),
        [("CLOSED    MELTED    it got hot", "enum has not"), ("CLOSED    HALF_OPEN    a whim", "a path")],
    )
    def test_an_unknown_state_or_path_is_an_error(self, row: str, told: str) -> None:
        """A new transition is drawn on purpose, or the build fails."""
        table = f"Theory.\n\n    from      to        when\n    {row}\n\nRules."
        with pytest.raises(diagrams.StaleDiagramError, match=told):
            diagrams.breaker_svg(transitions=diagrams.breaker_transitions(table))


def _moves(module: ModuleType) -> list[str]:
    """The target of each call of `_move_locked`, by name."""
    tree = ast.parse(inspect.getsource(module))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    moves = [node.args[0] for node in calls if ast.unparse(node.func).endswith("._move_locked")]
    return [ast.unparse(target).rpartition(".")[2].lstrip("_") for target in moves]
