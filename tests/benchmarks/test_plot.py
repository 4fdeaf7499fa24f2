"""The picture of the ratios."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.plot import Bar, Group, as_svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(*bars: Bar) -> ET.Element:
    return ET.fromstring(as_svg("speed", [Group("tell", "a <queue> & more", bars)]))


def bars_of(svg: ET.Element) -> list[tuple[float, float]]:
    """Where each bar begins and ends, goals left out."""
    rects = [one.attrib for one in svg.iter(f"{NAMESPACE}rect") if one.attrib.get("rx") == "1.5"]
    legend = 3
    return [(float(one["x"]), float(one["x"]) + float(one["width"])) for one in rects[legend:]]


def test_the_faster_goes_right_of_the_slower_and_both_begin_at_the_baseline() -> None:
    slower, faster = bars_of(drawn(Bar("slow", 0.5), Bar("fast", 2.0)))

    assert slower[1] == faster[0]
    assert abs((slower[1] - slower[0]) - (faster[1] - faster[0])) < 0.2  # as many octaves


def test_everything_is_inside_however_far_it_is() -> None:
    svg = drawn(Bar("slow", 0.00002), Bar("fast", 3_000.0, goal=20_000.0))

    assert all(0 < end < float(svg.attrib["width"]) for bar in bars_of(svg) for end in bar)


def test_texts_are_escaped() -> None:
    assert "1 = a <queue> & more" in {text.text for text in drawn(Bar("x", 1.0)).iter(f"{NAMESPACE}text")}
