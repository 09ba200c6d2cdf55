"""Plots as SVG, which stand in a page as they are: no script, no file beside it, on light and dark ground."""
