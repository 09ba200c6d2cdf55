from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from loadtest.plots.lines import BOTTOM, HEIGHT, TOP, line_plot
from loadtest.plots.svg import WIDTH, colour


def polylines(drawn: str) -> list[list[list[float]]]:
    paths = re.findall(r'<polyline points="([^"]+)"', drawn)
    return [[[float(number) for number in point.split(",")] for point in path.split()] for path in paths]


def test_a_plot_is_xml_with_a_title_and_a_description() -> None:
    root = ET.fromstring(line_plot("a < b", "x & y", {"<first>": [(0, 1), (1, 5)], "second": [(0, 2)]}))
    assert root.find("title").text == "a < b"
    assert root.find("desc").text == "lines over x & y; <first>: from 1 to 5, at most 5; second: from 2 to 2, at most 2"


@pytest.mark.parametrize("logarithmic", [False, True])
def test_everything_lies_within_the_frame(logarithmic: bool) -> None:
    lines = {"a": [(x, 10.0**x) for x in range(6)], "b": [(2.5, math.nan), (3, 50.0), (4, 0.0)]}
    drawn = line_plot("t", "x", lines, logarithmic)
    for line in polylines(drawn):
        assert all(0 < x <= WIDTH and TOP <= y <= HEIGHT - BOTTOM for x, y in line)
    assert "nan" not in drawn


def test_a_limit_is_drawn_above_the_lines_and_told_where_it_is_far() -> None:
    lines = {"a": [(0.0, 1.0), (1.0, 2.0)]}
    near, far = (line_plot("t", "x", lines, limits={"limit": value}) for value in (4.0, 400.0))
    assert 'class="limit"' in near
    assert polylines(near)[0][-1][1] > float(re.search(r"M52 ([\d.]+)H\d+\" class=\"limit\"", near)[1])
    assert 'class="limit"' not in far
    assert "limit: further up" in far


def test_a_line_without_points_leaves_the_colours_of_the_others() -> None:
    drawn = line_plot("t", "x", {"none": [], "some": [(0, 1), (1, 2)]})
    assert f'stroke="{colour(1)}"' in drawn
    assert len(polylines(drawn)) == 1


def test_nothing_to_draw_says_so() -> None:
    assert line_plot("t <", "x", {"a": [(0, math.nan)]}) == "<p>t &lt;: nothing to draw.</p>"


def test_named_ticks_stand_in_place_of_round_numbers() -> None:
    drawn = line_plot("t", "x", {"a": [(0, 1), (2, 1)]}, x_ticks={1.0: "90", 3.0: "99.9"})
    assert ">90</text>" in drawn
    assert "99.9" not in drawn, "beyond the last point"
