from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from loadtest.plots.bars import NAMES, VALUES, bar_plot
from loadtest.plots.svg import WIDTH, colour


def test_bars_are_as_long_as_their_values_and_named() -> None:
    drawn = bar_plot("t", {"a": 24_103.2, "b": 12_051.6}, colours={"b": "red"})
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="14"', drawn)]
    assert widths == [WIDTH - NAMES - VALUES, (WIDTH - NAMES - VALUES) / 2]
    assert re.findall(r'height="14" fill="([^"]+)"', drawn) == [colour(0), "red"]
    assert ">24,103</text>" in drawn


def test_names_are_escaped_and_long_ones_keep_their_end() -> None:
    drawn = bar_plot("a<b", {"x" * 40 + "<end": 3.0}, lambda value: f"{value} <each>")
    ET.fromstring(drawn)
    assert "…" + "x" * 20 + "&lt;end<" in drawn
    assert "3.0 &lt;each&gt;" in drawn


def test_nothing_to_draw_says_so() -> None:
    assert "nothing to draw" in bar_plot("t", {})
    assert "nothing to draw" in bar_plot("t", {"a": 0.0})
