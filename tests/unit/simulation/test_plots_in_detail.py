"""A picture, line by line: what is drawn where, and in which manner."""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.simulation import Outage, Service
from http_service_client.simulation.plots import Section, check_picture, draw, save
from http_service_client.simulation.tally import Moment

Drawing = Any  # of matplotlib, which has no types


@pytest.fixture(scope="module", autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="an extra that is not installed here")


@pytest.fixture
def axes() -> Sequence[Drawing]:
    """The rows of a picture of one report."""
    drawn: Sequence[Drawing] = draw({"": report()}).axes
    return drawn


def moment(at: float, **figures: Any) -> Moment:
    usual = dict.fromkeys(("calls", "succeeded", "failed", "refused", "exchanges", "open_circuits"), 0)
    return Moment(**{"at": at, **usual, "p50": None, "p99": None, **figures})


MOMENTS = [
    moment(0.0, calls=4, succeeded=3, failed=1, exchanges=6, p50=0.5, p99=2.0),
    moment(2.0, calls=2, exchanges=2, open_circuits=3),
    moment(4.0, calls=8, succeeded=8, exchanges=8, p50=0.0001, p99=40.0),
    moment(6.0),  # after the last call
]
FAULTS = [Outage(start=1, seconds=2), Outage(start=3)]


def report(moments: Sequence[Moment] = MOMENTS, **fields: Any) -> Any:
    usual = {"success_share": 0.955, "amplification": 1.234, "is_metastable": False}
    service = Service(latency=0.5, workers=3, faults=FAULTS)
    return SimpleNamespace(moments=moments, **{"service": service, **usual, **fields})


def lines(axis: Drawing) -> list[tuple[Any, ...]]:
    """The label, colour, width and style of each line."""
    return [
        (line.get_label(), line.get_color(), line.get_linewidth(), line.get_linestyle())
        for line in axis.get_lines()
    ]


def numbers(axis: Drawing, index: int) -> tuple[list[float], list[float]]:
    """The instants and the values of a line; a gap is None."""
    line = axis.get_lines()[index]
    values = [None if math.isnan(value) else float(value) for value in line.get_ydata()]
    return list(map(float, line.get_xdata())), values  # type: ignore[return-value]


def test_each_line_has_a_manner_of_its_own(axes: Sequence[Drawing]) -> None:
    """In more than its colour, of those that people with any colour vision can tell apart."""
    load, success, circuits, durations = axes
    assert lines(load) == [
        ("exchanges", "#e69f00", 1.6, "-"),
        ("calls", "#333333", 1.1, "--"),
        ("calls that succeeded", "#009e73", 2.2, "-"),
        ("capacity of the service", "#0072b2", 1.2, ":"),
    ]
    assert [entry[1:] for entry in lines(success)] == [("#009e73", 2.2, "-")]
    assert [entry[1:] for entry in lines(circuits)] == [("#d55e00", 1.2, "-")]
    assert lines(durations) == [
        ("p99 of the calls", "#d55e00", 1.0, "-"),
        ("median of the calls", "#0072b2", 2.0, "-"),
    ]
    area = circuits.collections[0]
    assert (area.get_alpha(), list(area.get_linewidth())) == (0.3, [0])
    assert tuple(area.get_facecolor()[0]) == pytest.approx((0xD5 / 255, 0x5E / 255, 0, 0.3))
    assert circuits.get_lines()[0].get_drawstyle() == "steps-mid"


def test_the_lines_have_the_figures_of_the_moments(axes: Sequence[Drawing]) -> None:
    """Rates in the middle of each span, until the last one in which calls began; a gap where no call ended."""
    load, success, circuits, durations = axes
    instants = [1.0, 3.0, 5.0]
    assert numbers(load, 0) == (instants, [3.0, 1.0, 4.0])
    assert numbers(load, 1) == (instants, [2.0, 1.0, 4.0])
    assert numbers(load, 2) == (instants, [1.5, 0.0, 4.0])
    assert numbers(load, 3)[1] == [6.0, 6.0]
    assert numbers(success, 0) == (instants, [0.75, None, 1.0])
    assert numbers(circuits, 0) == (instants, [0.0, 3.0, 0.0])
    assert numbers(durations, 0) == (instants, [2.0, None, 40.0])
    assert numbers(durations, 1) == (instants, [0.5, None, 0.001])


def test_the_durations_of_a_group_are_its_largest_p99_and_its_usual_median() -> None:
    """Moments in which no call ended are left out, and a group of none of them is a gap."""
    moments = [moment(2.0 * n, p50=[0.1, 0.4, None][n % 3], p99=[1.0, 5.0, None][n % 3]) for n in range(150)]
    moments += [moment(2.0 * n, calls=1) for n in range(150, 153)]
    durations = draw({"": report(moments)}).axes[3]
    assert numbers(durations, 0)[1][:50] == [5.0] * 50
    assert numbers(durations, 1)[1][:50] == [0.25] * 50
    assert numbers(durations, 1)[1][50] is None  # type: ignore[comparison-overlap]  # a gap


@pytest.mark.parametrize(("count", "size"), [(75, 1), (76, 2), (151, 3)])
def test_a_line_has_75_points_at_most(count: int, size: int) -> None:
    """More would show the noise of single calls. Circuits are those at the end of a group."""
    moments = [
        moment(2.0 * n, calls=n + 1, succeeded=1, failed=n % 2, open_circuits=n % 2) for n in range(count)
    ]
    load, success, circuits, durations = draw({"": report(moments)}).axes
    times, rates = numbers(load, 1)
    assert len(times) == math.ceil(count / size) <= 75
    assert (times[0], rates[0]) == (float(size), sum(range(1, size + 1)) / (2.0 * size))
    assert numbers(success, 0)[1][0] == pytest.approx(size / (size + size // 2))
    assert numbers(circuits, 0)[1][0] == (size - 1) % 2
    assert numbers(durations, 0)[0] == times
    assert load.get_xlim() == (0, 2.0 * count)


def test_faults_are_spans_of_all_four_rows(axes: Sequence[Drawing]) -> None:
    """The legend names them once; one that stays ends with the picture."""
    for axis in axes:
        spans = [(patch.get_x(), patch.get_width()) for patch in axis.patches]
        assert spans == [(1, 2), (3, 3)]
        for patch in axis.patches:
            assert tuple(patch.get_facecolor()) == pytest.approx((0x88 / 255,) * 3 + (0.2,))
            assert patch.get_linewidth() == 0
    labels = [[patch.get_label() for patch in axis.patches] for axis in axes]
    assert labels[3][0] == "a fault of the service"
    assert sum("a fault of the service" in each for each in labels) == 1
    assert "a fault of the service" not in labels[3][1:]


def test_the_axes_have_labels_and_limits(axes: Sequence[Drawing]) -> None:
    """From zero, with room above the highest number of open circuits; durations are logarithmic."""
    load, success, circuits, durations = axes
    assert [axis.get_ylabel() for axis in (load, success, circuits, durations)] == [
        "a second",
        "success",
        "open circuits",
        "duration",
    ]
    assert durations.get_xlabel() == "seconds"
    assert load.get_ylim()[0] == 0
    assert success.get_ylim() == (-0.04, 1.04)
    assert circuits.get_ylim() == (0, pytest.approx(3.3))
    assert draw({"": report(MOMENTS[:1])}).axes[2].get_ylim() == (0, 1.0)
    assert durations.get_yscale() == "log"
    assert durations.get_ylim()[0] == 0.001
    assert load.get_xlim() == (0, 6.0)
    assert [durations.yaxis.get_major_formatter()(value) for value in (0.25, 1.0, 30.0)] == [
        "250 ms",
        "1 s",
        "30 s",
    ]
    assert success.yaxis.get_major_formatter()(0.5) == "50%"
    assert all(tick == int(tick) for tick in circuits.get_yticks())
    assert len(circuits.get_yticks()) <= 6


def test_a_single_moment_is_a_second() -> None:
    """There is no next one to measure its span by."""
    load = draw({"": report(MOMENTS[:1])}).axes[0]
    assert load.get_xlim() == (0, 1.0)
    assert numbers(load, 1) == ([0.5], [4.0])


def test_two_moments_give_the_span() -> None:
    """Of each."""
    assert draw({"": report(MOMENTS[:2])}).axes[0].get_xlim() == (0, 4.0)


def test_a_service_without_a_limit_has_no_line_for_it() -> None:
    """Its capacity is infinite."""
    load = draw({"": report(service=Service())}).axes[0]
    assert len(load.get_lines()) == 3


@pytest.mark.parametrize(
    ("is_metastable", "summary"),
    [
        (False, "96% succeed, 1.23 exchanges a call"),
        (None, "96% succeed, 1.23 exchanges a call"),
        (True, "96% succeed, 1.23 exchanges a call, METASTABLE"),
    ],
)
def test_a_column_has_the_name_and_the_main_figures(is_metastable: bool | None, summary: str) -> None:
    """Above it; without a name there is the summary alone."""
    figure = draw({"mine": report(is_metastable=is_metastable), "": report(is_metastable=is_metastable)})
    titles = [axis.get_title(loc="left") for axis in figure.axes[:2]]
    assert titles == [f"mine\n{summary}", summary]


def test_a_figure_grows_with_its_columns() -> None:
    """One has room for its legend; with a title, that is bold and to the left."""
    one, three = draw({"": report()}, "an outage"), draw(dict.fromkeys("abc", report()))
    assert tuple(one.get_size_inches()) == (6.4, 7.4)
    assert tuple(three.get_size_inches()) == pytest.approx((0.6 + 3 * 4.2, 7.4))
    title = one._suptitle
    assert (title.get_text(), title.get_fontsize(), title.get_fontweight()) == ("an outage", 12, "bold")
    assert (title.get_position()[0], title.get_horizontalalignment()) == (0.01, "left")
    assert three._suptitle is None


def test_the_legend_is_below_and_names_every_line() -> None:
    """Those of the load, and those of the durations."""
    (legend,) = draw({"": report(), "b": report()}).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "exchanges",
        "calls",
        "calls that succeeded",
        "capacity of the service",
        "p99 of the calls",
        "median of the calls",
        "a fault of the service",
    ]
    assert legend._ncols == 3
    assert {text.get_fontsize() for text in legend.get_texts()} == {8.0}
    assert not legend.get_frame_on()


def test_a_picture_has_no_box_and_a_light_grid(axes: Sequence[Drawing]) -> None:
    """Nothing distracts from the lines."""
    import matplotlib as mpl

    for axis in axes:
        assert not axis.spines["top"].get_visible()
        assert not axis.spines["right"].get_visible()
        assert axis.get_axisbelow() is True
        (line, *_) = axis.xaxis.get_gridlines()
        assert line.get_visible()
        assert line.get_color() == "#e5e5e5"
        ticks = [*axis.xaxis.get_major_ticks(), *axis.yaxis.get_major_ticks()]
        assert not any(tick.tick1line.get_visible() for tick in ticks)
    assert axes[0]._left_title.get_fontsize() == 9.0
    assert mpl.rcParams["axes.grid"] is False  # the settings of the user are as before


def test_instants_are_named_in_the_lowest_row_and_figures_in_the_first_column() -> None:
    """The others have the same."""
    axes = draw({"": report(), "b": report()}).axes
    for labels, named in (("get_xticklabels", [6, 7]), ("get_yticklabels", [0, 2, 4, 6])):
        found = [any(label.get_visible() for label in getattr(axis, labels)()) for axis in axes]
        assert [place for place, is_named in enumerate(found) if is_named] == named


@pytest.mark.parametrize(
    ("circuits", "ticks"), [(1, [0, 1]), (3, [0, 1, 2, 3]), (4, [0, 2, 4]), (100, [0, 30, 60, 90])]
)
def test_a_few_numbers_of_open_circuits_are_named(circuits: int, ticks: list[int]) -> None:
    """Whole ones, and not more than find room in a low row."""
    axis = draw({"": report([moment(0.0, calls=1, open_circuits=circuits)])}).axes[2]
    assert [tick for tick in axis.get_yticks() if tick <= axis.get_ylim()[1]] == ticks


def test_the_scale_of_durations_has_powers_of_ten_alone(axes: Sequence[Drawing]) -> None:
    """The lines between them would be more than the picture shows."""
    assert list(axes[3].yaxis.get_minorticklocs()) == []


@pytest.fixture
def svg(tmp_path: Path) -> str:
    """The file of a picture."""
    save(tmp_path / "a.svg", "", [Section("", "", [], {"": report()})])
    return (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_the_calls_are_dashes_twice_as_long_as_their_gaps(svg: str) -> None:
    """So that the line of the exchanges shows between them; the first dash is a whole one."""
    pattern = r"stroke-dasharray: ([\d.]+),([\d.]+); stroke-dashoffset: ([\d.-]+); stroke: #333333; stroke-width: 1.1"
    ((dash, gap, offset),) = set(re.findall(pattern, svg))  # the line, and that of the legend
    assert (float(dash), float(offset)) == (2 * float(gap), 0)


def test_an_svg_has_points_to_a_tenth(svg: str) -> None:
    """Which is less than can be seen. The points of a path are in one line."""
    paths = re.findall(r'<path d="([^"]*)"', svg)
    assert [path for path in paths if "\n" in path.strip()] == []
    words = [word for path in paths for word in path.split()]
    assert {word for word in words if not re.fullmatch(r"[MLQCz]|-?\d+(\.\d)?", word)} == set()


def test_the_text_of_an_svg_is_small_and_in_a_font_that_browsers_have(svg: str) -> None:
    """The legend's is smaller."""
    styles = re.findall(r'<text[^>]* style="([^"]*)"', svg)
    assert {size for style in styles for size in re.findall(r"([\d.]+)px", style)} == {"8", "9"}
    assert [style for style in styles if "'DejaVu Sans', 'Verdana', 'Arial', sans-serif" not in style] == []


def test_a_png_has_110_dots_an_inch(tmp_path: Path) -> None:
    """It is as wide as a column of text."""
    save(tmp_path / "a.png", "", [Section("", "", [], {"": report()})])
    assert struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24]) == (704, 814)


@pytest.mark.parametrize("name", ["a.svg", "a.png", "a.html"])
def test_whoever_saves_a_picture_has_its_figure(tmp_path: Path, name: str) -> None:
    """The first one of a page."""
    sections = [Section("x", "", [], {"": report()}), Section("y", "", [], {"": report()})]
    figure = save(tmp_path / name, "", sections[: 2 if name == "a.html" else 1])
    assert len(figure.axes) == 4


def test_a_picture_that_cannot_be_drawn_is_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not after minutes of work."""
    check_picture("a.svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match="pictures are drawn by matplotlib"):
        check_picture("a.svg")
