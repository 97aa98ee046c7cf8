"""Pictures: of one report, of configurations side by side, and a page that needs no other file."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.simulation import (
    NO_CLIENT,
    Comparison,
    Outage,
    Report,
    Scenario,
    Service,
    compare,
    simulate,
)

# A circuit that opens within the short outage.
STRICT = HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60})
SERVICE = Service(latency=0.05, workers=20, faults=[Outage(start=10, seconds=10)])


@pytest.fixture(scope="module", autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="an extra that is not installed here")


@pytest.fixture(scope="module")
def report() -> Report:
    return simulate(STRICT, SERVICE, rate=10, seconds=30)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = Scenario(service=SERVICE, about="down for <10> s", clients=3, rate=2, seconds=30)
    calm = Scenario(service=Service(), about="calm", clients=1, rate=2, seconds=10)
    return compare({"no client": NO_CLIENT, "strict": STRICT}, {"outage": scenario, "calm": calm})


def test_a_report_is_drawn_as_svg(report: Report, tmp_path: Path) -> None:
    """Its text is text, and the same report is the same file."""
    for name in ("a.svg", "b.svg"):
        report.plot(tmp_path / name, title="an outage")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    words = " ".join(filter(None, (element.text for element in root.iter())))
    for part in ("an outage", "open circuits", "success", "capacity of the service", "fault of the service"):
        assert part in words
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_report_is_drawn_as_png(report: Report, tmp_path: Path) -> None:
    """By the suffix of the path, which may be text."""
    report.plot(str(tmp_path / "a.PNG"))
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")


def test_the_lines_are_the_moments_of_the_report(report: Report) -> None:
    """Loads in calls and exchanges a second, success as a share, the fault as a span."""
    load, success, circuits, durations = report.plot().axes
    lines = {line.get_label(): line.get_ydata() for line in load.get_lines()}
    assert sum(lines["calls"]) / len(lines["calls"]) == pytest.approx(report.calls / 30, rel=0.1)
    assert lines["capacity of the service"][0] == SERVICE.capacity
    assert (success.get_lines()[0].get_ydata()[2], success.get_lines()[0].get_ydata()[40]) == (1.0, 0.0)
    assert max(circuits.get_lines()[0].get_ydata()) == 1
    (span,) = [patch for patch in durations.patches if patch.get_label() == "a fault of the service"]
    assert (span.get_x(), span.get_width()) == (10, 10)


@pytest.mark.parametrize("name", [None, "a.html"])
def test_a_report_has_no_name_above_its_figures(report: Report, tmp_path: Path, name: str | None) -> None:
    """There is no other beside it."""
    figure = report.plot(None if name is None else tmp_path / name)
    (title,) = figure.axes[0].get_title(loc="left").splitlines()
    assert title.startswith(f"{report.success_share:.0%} succeed")


def test_a_report_without_calls_can_be_drawn() -> None:
    """There is nothing in it."""
    assert len(simulate(None, Service(), rate=0, seconds=5).plot().axes) == 4


def test_configurations_are_drawn_side_by_side(comparison: Comparison) -> None:
    """On common scales, each with its name and main figures."""
    figure = comparison.plot(scenario="outage")
    assert len(figure.axes) == 8
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert [title.splitlines()[0] for title in titles if title] == ["no client", "strict"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[4].get_ylim()[1] >= 3  # three circuits, in the second column alone


def test_a_picture_of_a_comparison_is_called_by_its_scenario(comparison: Comparison, tmp_path: Path) -> None:
    """A report has no scenario, but the title that was given."""
    comparison.plot(tmp_path / "a.svg", scenario="outage")
    words = [element.text for element in ElementTree.parse(tmp_path / "a.svg").iter()]
    assert "outage" in words
    assert "Simulation" not in words


class Page(HTMLParser):
    """The tags of a page, the addresses that it refers to, and text that stands beside its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.loose: list[str] = []
        self._open = [""]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag != "meta":  # which has no end
            self._open.append(tag)
        names = {"src", "href", "xlink:href", "data"}
        self.addresses += [value for name, value in attrs if name in names and tag != "svg"]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1] in {"", "html", "body", "table", "tr", "figure", "svg", "g"} and data.strip():
            self.loose.append(data)


def test_a_page_has_everything_in_it(comparison: Comparison, tmp_path: Path) -> None:
    """A table and a picture of each scenario, and no address of another file."""
    comparison.plot(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (page.tags.count("svg"), page.tags.count("table"), page.tags.count("h2")) == (2, 2, 2)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert page.loose == []
    assert "down for &lt;10&gt; s" in text
    assert "<h1>Simulation</h1>" in text
    assert "exchanges: for each call" in text


def test_a_table_of_a_page_has_a_row_for_each_configuration(comparison: Comparison, tmp_path: Path) -> None:
    """Below what the columns are; the scenario is its heading."""
    comparison.plot(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", text.partition("</table>")[0])
    shares = {name: comparison["outage", name].success_share for name in ("no client", "strict")}
    assert rows == [("configuration", "success"), *((name, f"{share:.1%}") for name, share in shares.items())]


def test_a_page_of_one_report(report: Report, tmp_path: Path) -> None:
    """Its figures are a table."""
    report.plot(tmp_path / "a.html", title="an <outage>")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<h1>an &lt;outage&gt;</h1>" in text
    tags = Page(text).tags
    assert (tags.count("h2"), tags.count("p")) == (0, 1)  # neither the name of a scenario nor a legend
    assert "first circuit opened after" in text


@pytest.mark.parametrize(
    ("name", "settings", "part"),
    [
        ("a.pdf", {}, r"must end with \.svg or \.png or \.html, not 'a\.pdf'"),
        ("no/a.svg", {"scenario": "calm"}, r"the folder '.*no' does not exist; create it first"),
        ("a.svg", {}, "shows one scenario; name it in scenario="),
        (None, {}, "shows one scenario; name it in scenario="),
        ("a.svg", {"scenario": "outge"}, "scenario='outge' was not compared; did you mean 'outage'"),
        (None, {"scenario": "q"}, "was not compared; there are outage, calm"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(
    comparison: Comparison, tmp_path: Path, name: str | None, settings: Any, part: str
) -> None:
    """No file is written."""
    with pytest.raises(ConfigurationError, match=part):
        comparison.plot(None if name is None else tmp_path / name, **settings)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_extra(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulations need it not."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[simulation\]'"):
        report.plot()
    assert simulate(None, Service(), rate=1, seconds=1).failed == 0
