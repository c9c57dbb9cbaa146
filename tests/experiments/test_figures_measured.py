"""Positions and labels of lines, maps and spectra."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from experiments.figures.measured import PANEL, Axis, heat, histogram, lines
from results.figures import style


def curves(hues=("pc", "bp"), panels=("one", "two")):
    """Return y = x times the index of its line, for two seeds one below and one above."""
    return pd.DataFrame(
        {"x": float(x), "y": (place + 1) * x + sign, "rule": hue, "panel": panel}
        for panel in panels
        for place, hue in enumerate(hues)
        for x in (1, 2, 4)
        for sign in (-1, 1)
    )


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_lines_are_means_with_standard_deviation_bands():
    figure = lines(curves(), Axis("x", "step"), Axis("y", "loss"), "rule", "panel", title="T")
    first, second = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["one", "two"]
    means = {line.get_label(): list(line.get_ydata()) for line in first.lines}
    assert means == {"PC": [1.0, 2.0, 4.0], "BP": [2.0, 4.0, 8.0]}
    band = first.collections[0].get_paths()[0].get_extents()
    assert band.height == pytest.approx(8 - 2 + 2 * np.sqrt(2))  # BP comes before PC
    assert (first.get_xlabel(), first.get_ylabel()) == ("step", "loss")


def test_lines_of_numbers_are_sorted_and_labelled_plainly():
    frame = curves((10.0, 2.0, 0.5))
    figure = lines(frame, Axis("x", ""), Axis("y", ""), "rule", "panel", ordered=True)
    assert [line.get_label() for line in figure.axes[0].lines] == ["0.5", "2", "10"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.5", "2", "10"]


def test_legend_fits_its_figure():
    names = [f"a rather long name of a line, {place}" for place in range(5)]
    figure = lines(curves(names), Axis("x", ""), Axis("y", ""), "rule", "panel")
    style.png(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_predictions_are_dashed_in_line_colour():
    frame = curves(("pc",), ("one",)).assign(theory=7.0)
    line, dashes = lines(frame, Axis("x", ""), Axis("y", ""), "rule", dashed="theory").axes[0].lines
    assert dashes.get_linestyle() == "--"
    assert dashes.get_color() == line.get_color()
    assert list(dashes.get_ydata()) == [7.0, 7.0, 7.0]


def grid(xs, ys=(1, 2)):
    return pd.DataFrame({"x": x, "y": y, "value": x + y} for x in xs for y in ys)


def test_map_shows_cell_means_and_gaps():
    frame = pd.concat([grid([1, 2, 4]), pd.DataFrame({"x": [1], "y": [1], "value": [4.0]})])
    frame = frame[(frame["x"] != 4) | (frame["y"] != 2)]
    axes = heat(frame, Axis("x", "N"), Axis("y", "H"), Axis("value", "F")).axes[0]
    shown = axes.images[0].get_array()
    assert shown[0].tolist() == [3.0, 3.0, 5.0]
    assert np.ma.getmaskarray(shown)[1].tolist() == [False, False, True] or np.isnan(shown[1, 2])
    assert labels(axes.xaxis) == ["1", "2", "4"]


def test_many_even_cells_have_few_round_ticks():
    xs = np.linspace(-1, 1, 30)
    figure = heat(grid(xs), Axis("x", ""), Axis("y", ""), Axis("value", ""))
    axes = figure.axes[0]
    assert labels(axes.xaxis) == ["-1", "-0.5", "0", "0.5", "1"]
    assert axes.get_xticks() == pytest.approx([0, 7.25, 14.5, 21.75, 29])


@pytest.mark.parametrize("xs", [np.linspace(-0.931, 0.931, 40), 10.0 ** np.arange(-10, 10)])
def test_map_ticks_do_not_overlap(xs):
    figure = heat(grid(xs), Axis("x", ""), Axis("y", ""), Axis("value", "", log=True))
    style.png(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_histogram_draws_one_density_per_line():
    frame = pd.DataFrame({"x": [0.0, 0.0, 1.0, 1.0], "rule": ["pc", "bp"] * 2})
    figure = histogram(frame, Axis("x", "eigenvalue"), "rule", bins=2)
    axes = figure.axes[0]
    assert len(axes.patches) == 2
    assert axes.get_ylim()[1] > 1  # each of width 1/2 holds half of the values: density 1
    assert figure.get_figwidth() == pytest.approx(PANEL + 1.4)
