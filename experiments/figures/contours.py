"""Landscapes over two weights: contours, the field of descent, and paths through them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure

PANEL = 3.5  # inches
LEVELS = 18
ARROWS = 13  # along either axis
ROUNDING = 1e-5  # of float32, with a margin


def contours(
    frame: pd.DataFrame,
    panel: str,
    paths: pd.DataFrame | None = None,
    *,
    panels: Sequence[str] = (),
    columns: int = 3,
    label: str = "",
    names: tuple[str, str] = ("w₁", "w₂"),
    title: str = "",
) -> Figure:
    """Draw a map of `value` for every panel, on one colour scale of equal counts.

    Arrows of equal length point down each map's own slope; flat regions have none.

    Args:
        frame: columns `x`, `y`, `value` on a full grid, and `panel`.
        panel: the column of panels.
        paths: columns `x`, `y`, `path` and `panel`: a line for each path, in the order of the rows,
            with a dot at its start.
        panels: the panels in order; empty for all, sorted.
        columns: maximum number of panels in a row.
        label: label of the colour bar.
        names: labels of the axes.
        title: title above all panels.
    """
    order = list(panels) or sorted(frame[panel].unique())
    across = min(columns, len(order)) or 1
    down = math.ceil(len(order) / across) or 1
    with style.styled():
        figure = style.new_figure(PANEL * across + 1.0, PANEL * down + 0.3)
        if title:
            figure.suptitle(title)
        levels = _levels(frame["value"].to_numpy(float))
        for place, name in enumerate(order, start=1):
            axes = figure.add_subplot(down, across, place)
            axes.set_title(style.label(str(name)))
            filled = _map(axes, frame[frame[panel] == name], levels)
            if paths is not None:
                _paths(axes, paths[paths[panel] == name])
            axes.set_xlabel(names[0])
            axes.set_ylabel(names[1])
        if order:
            bar = figure.colorbar(filled, ax=figure.axes, label=label)
            ticks = [float(level) for level in levels[:: max(1, len(levels) // 6)]]
            bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
            bar.minorticks_off()
    return figure


def _levels(values: np.ndarray) -> np.ndarray:
    """Return boundaries of equal counts, since landscapes are steep at their rims.

    Values that differ by rounding count once, so that a plateau does not take all colours.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.array([0.0, 1.0])
    size = ROUNDING * np.abs(finite).max() or 1.0
    levels = np.unique(np.quantile(np.unique((finite / size).round()), np.linspace(0, 1, LEVELS)))
    return size * levels if len(levels) > 1 else size * levels[0] + np.array([0.0, 1.0])


def _map(axes: Axes, rows: pd.DataFrame, levels: np.ndarray) -> QuadContourSet:
    from matplotlib.colors import BoundaryNorm

    table = rows.pivot_table(index="y", columns="x", values="value", dropna=False)
    x, y, z = table.columns.to_numpy(float), table.index.to_numpy(float), table.to_numpy(float)
    norm = BoundaryNorm(levels, 256, extend="both")
    filled = axes.contourf(x, y, z, levels=levels, norm=norm, cmap=style.CMAP, extend="both")
    slope_y, slope_x = np.gradient(z, y, x)
    size = np.hypot(slope_x, slope_y)
    # slopes on a plateau are rounding errors
    plateau = ROUNDING * np.abs(z[np.isfinite(z)]).max(initial=0) / np.ptp(x)
    size = np.where(size > plateau, size, np.nan)
    rows_kept, columns_kept = (
        np.unique(np.linspace(0, len(axis) - 1, ARROWS).round().astype(int)) for axis in (y, x)
    )
    at = np.ix_(rows_kept, columns_kept)
    axes.quiver(
        x[columns_kept], y[rows_kept], (-slope_x / size)[at], (-slope_y / size)[at],
        color="white", alpha=0.65, width=0.004, scale=28,
    )  # fmt: skip
    axes.set_xlim(x.min(), x.max())
    axes.set_ylim(y.min(), y.max())
    return filled


def _paths(axes: Axes, rows: pd.DataFrame) -> None:
    for _, path in rows.groupby("path"):
        axes.plot(path["x"], path["y"], "-", color=style.LINES[1][0], lw=1.8)
        axes.plot(path["x"].iloc[:1], path["y"].iloc[:1], "o", color=style.LINES[1][0], ms=4.5)
