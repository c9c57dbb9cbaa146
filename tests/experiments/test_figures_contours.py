"""Colours, arrows and paths of maps over two weights."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.quiver import Quiver

from experiments.figures.contours import ARROWS, contours
from results.figures import style


def surface(height, name="bowl", reach=2.0, points=27):
    axis = np.linspace(-reach, reach, points)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    return pd.DataFrame({"x": x, "y": y, "value": height(x, y), "panel": name})


def arrows(axes):
    """Return origins and directions of the drawn arrows."""
    (quiver,) = (child for child in axes.collections if isinstance(child, Quiver))
    direction = np.stack([quiver.U, quiver.V], axis=1)
    drawn = ~np.broadcast_to(quiver.Umask, len(direction))
    return quiver.XY.reshape(-1, 2)[drawn], direction[drawn]


def test_arrows_of_equal_length_point_down():
    at, way = arrows(contours(surface(lambda x, y: x**2 + y**2), "panel").axes[0])
    assert len(at) == pytest.approx(ARROWS**2, abs=1)  # none at the bottom
    inside = np.abs(at).max(axis=1) < 1.9  # one-sided differences are less exact at the rim
    outward = at[inside] / np.linalg.norm(at[inside], axis=1, keepdims=True)
    assert way[inside] == pytest.approx(-outward, abs=1e-6)


def test_plateau_has_no_arrows_and_one_colour():
    noise = np.random.default_rng(0).normal(size=27 * 27) * 1e-8
    maps = pd.concat(
        [
            surface(lambda x, y: x**2 + y**2),
            surface(lambda x, y: 0.5 + noise, "flat"),
        ]
    )
    figure = contours(maps, "panel", panels=["bowl", "flat"])
    assert len(arrows(figure.axes[1])[0]) == 0
    bar = figure.axes[-1]
    ticks = [float(text.get_text().replace("−", "-")) for text in bar.get_yticklabels()]
    assert len(set(ticks)) == len(ticks)
    assert ticks[-1] > 4  # of 8: colours cover the bowl's heights


def test_panels_keep_order_and_ranges():
    maps = pd.concat(
        [surface(lambda x, y: x * y, "b"), surface(lambda x, y: x * y, "a", reach=1.0)]
    )
    names = ("u", "v")
    figure = contours(maps, "panel", panels=["b", "a"], label="loss", names=names, title="T")
    first, second, bar = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["b", "a"]
    assert first.get_xlim() == (-2, 2)
    assert second.get_ylim() == (-1, 1)
    assert (first.get_xlabel(), first.get_ylabel()) == names
    assert bar.get_ylabel() == "loss"
    assert style.png(figure).startswith(b"\x89PNG")


def test_paths_are_lines_with_a_dot_at_the_start():
    paths = pd.DataFrame(
        {"x": [0.0, 1.0, 1.5, -1.0, -1.5], "y": [0.5, 0.2, 0.1, 1.0, 1.5],
         "path": [0, 0, 0, 1, 1], "panel": ["bowl"] * 3 + ["other"] * 2}
    )  # fmt: skip
    axes = contours(surface(lambda x, y: x**2), "panel", paths).axes[0]
    way, start = axes.lines
    assert list(way.get_xdata()) == [0.0, 1.0, 1.5]
    assert (list(start.get_xdata()), list(start.get_ydata())) == ([0.0], [0.5])


def test_map_without_finite_values():
    figure = contours(surface(lambda x, y: np.full_like(x, np.nan)), "panel")
    assert style.png(figure).startswith(b"\x89PNG")


def test_map_without_rows_is_empty():
    frame = pd.DataFrame({"x": [], "y": [], "value": [], "panel": []})
    assert contours(frame, "panel").axes == []
