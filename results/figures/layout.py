"""Arrangement of the panels of one variant, and axes of learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log, log10, sqrt
from typing import TYPE_CHECKING, Literal

from results.figures import style
from results.figures.marks import Look
from results.figures.panels import Panel
from results.shapes import Shape
from results.vocabulary import RATE_LABELS

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 5


def arrange(shapes: Sequence[Shape]) -> tuple[int, int, dict[Shape, tuple[int, int]]]:
    """Return the number of rows and columns, and the row and column of every shape.

    A nearly full product of widths and few depths is a grid, widths down and depths across. Other
    shapes fill rows of at most `MOST_COLUMNS` from left to right.
    """
    widths = sorted({s.width for s in shapes})
    depths = sorted({s.depth for s in shapes})
    if len(depths) <= MOST_COLUMNS and len(shapes) > 0.6 * len(widths) * len(depths):
        places = {s: (widths.index(s.width), depths.index(s.depth)) for s in shapes}
        return len(widths), len(depths), places
    columns = min(MOST_COLUMNS, len(shapes))
    places = {s: divmod(i, columns) for i, s in enumerate(shapes)}
    return ceil(len(shapes) / columns), columns, places


def subplots(
    figure: Figure, panels: Sequence[Panel], y_label: str, x_label: str = RATE_LABELS["weight_lr"]
) -> Iterator[tuple[Panel, Axes]]:
    """Yield the titled axes of each panel, with shared x and y axes."""
    rows, columns, places = arrange([p.shape for p in panels])
    first: Axes | None = None
    for panel in panels:
        row, column = places[panel.shape]
        axes = figure.add_subplot(
            rows, columns, row * columns + column + 1, sharex=first, sharey=first
        )
        first = first or axes
        heading = f"{panel.shape.symbols}\n{panel.note}"
        axes.set_title(heading, linespacing=1.3)
        axes.set_xlabel(x_label, fontsize=10)
        if column == 0:
            axes.set_ylabel(y_label)
        else:
            axes.tick_params(labelleft=False)
        yield panel, axes


def edges(values: Sequence[float]) -> np.ndarray:
    """Return the n + 1 borders of tiles around n sorted positive `values`, on a log axis."""
    import numpy as np

    v = np.asarray(values, dtype=float)
    if len(v) == 1:
        return np.array([v[0] / sqrt(2), v[0] * sqrt(2)])
    inner = np.sqrt(v[:-1] * v[1:])
    return np.concatenate([[v[0] ** 2 / inner[0]], inner, [v[-1] ** 2 / inner[-1]]])


def log_length(values: Sequence[float], per_decade: float, low: float, high: float) -> float:
    """Return the inches of a log axis over `values`: `per_decade` each, within [low, high]."""
    span = log10(max(values) / min(values)) if len(values) > 1 else 0.0
    return min(max(span * per_decade, low), high)


def open_axes(axes: Axes, etas: Sequence[float], betas: Sequence[float]) -> None:
    """Set log axes with a margin around scattered points, and ticks at round values."""
    for values, scale, limits, ticks in (
        (etas, axes.set_xscale, axes.set_xlim, axes.set_xticks),
        (betas, axes.set_yscale, axes.set_ylim, axes.set_yticks),
    ):
        room = max((values[-1] / values[0]) ** 0.06, 1.2)
        low, high = values[0] / room, values[-1] * room
        shown = style.log_ticks(low, high)
        scale("log")
        limits(low, high)
        ticks(shown, [style.rate_text(value) for value in shown])
    axes.minorticks_off()


def rate_axis(axes: Axes, which: Literal["x", "y"], values: Sequence[float], inches: float) -> None:
    """Set a log axis over the tiles of the sorted `values`, with ticks at as many as fit.

    Labels along x that would touch are rotated.
    """
    border = edges(values)
    across = log(border[-1] / border[0])
    places = [log(value / border[0]) / across * inches for value in values]
    kept = style.thin(places, 0.42 if which == "x" else 0.19)
    rotated = which == "x" and len(kept) < len(values)
    if rotated:
        kept = style.thin(places, 0.2)
    shown = [values[i] for i in kept]
    texts = [style.rate_text(value) for value in shown]
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(border[0], border[-1])
        look: Look = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(shown, texts, **(look if rotated else {}))
    else:
        axes.set_yscale("log")
        axes.set_ylim(border[0], border[-1])
        axes.set_yticks(shown, texts)
    axes.minorticks_off()
