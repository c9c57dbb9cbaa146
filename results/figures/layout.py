"""Where the panels of one variant stand, and their axes of learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log, log10, sqrt
from typing import TYPE_CHECKING, Any, Literal

from results.figures import style
from results.figures.cells import Panel, Shape

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 5
ETA_LABEL, BETA_LABEL = "η, weight learning rate", "β, activity learning rate"


def arrange(shapes: Sequence[Shape]) -> tuple[int, int, dict[Shape, tuple[int, int]]]:
    """Rows, columns and the place of every shape.

    A (nearly) full product of few depths stands as a grid, widths down and depths across; anything
    else runs from left to right in rows of at most `MOST_COLUMNS`.
    """
    widths = sorted({s.width for s in shapes})
    depths = sorted({s.depth for s in shapes})
    if len(depths) <= MOST_COLUMNS and len(shapes) > 0.6 * len(widths) * len(depths):
        places = {s: (widths.index(s.width), depths.index(s.depth)) for s in shapes}
        return len(widths), len(depths), places
    columns = min(MOST_COLUMNS, len(shapes))
    places = {s: divmod(i, columns) for i, s in enumerate(shapes)}
    return ceil(len(shapes) / columns), columns, places


def subplots(figure: Figure, panels: Sequence[Panel], y_label: str) -> Iterator[tuple[Panel, Axes]]:
    """The axes of each panel, titled, sharing both axes; the first column names the y axis."""
    rows, columns, places = arrange([p.shape for p in panels])
    first: Axes | None = None
    for panel in panels:
        row, column = places[panel.shape]
        axes = figure.add_subplot(
            rows, columns, row * columns + column + 1, sharex=first, sharey=first
        )
        first = first or axes
        heading = f"N = {panel.shape.width}, H = {panel.shape.depth}\n{panel.note}"
        axes.set_title(heading, linespacing=1.3)
        axes.set_xlabel(ETA_LABEL, fontsize=10)
        if column == 0:
            axes.set_ylabel(y_label)
        else:
            axes.tick_params(labelleft=False)
        yield panel, axes


def edges(values: Sequence[float]) -> np.ndarray:
    """Tile borders (n + 1) around the n sorted positive `values`: geometric means of neighbours."""
    import numpy as np

    v = np.asarray(values, dtype=float)
    if len(v) == 1:
        return np.array([v[0] / sqrt(2), v[0] * sqrt(2)])
    inner = np.sqrt(v[:-1] * v[1:])
    return np.concatenate([[v[0] ** 2 / inner[0]], inner, [v[-1] ** 2 / inner[-1]]])


def log_length(values: Sequence[float], per_decade: float, low: float, high: float) -> float:
    """Inches of a log axis over `values`: `per_decade` of them each, within [low, high]."""
    span = log10(max(values) / min(values)) if len(values) > 1 else 0.0
    return min(max(span * per_decade, low), high)


def open_axes(axes: Axes, etas: Sequence[float], betas: Sequence[float]) -> None:
    """Log axes with room around scattered points, and ticks at round values."""
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
    """A log axis over the tiles of the sorted `values`, with ticks at the values, as many as fit.

    Labels along x that would touch are turned.
    """
    border = edges(values)
    across = log(border[-1] / border[0])
    places = [log(value / border[0]) / across * inches for value in values]
    kept = style.thin(places, 0.42 if which == "x" else 0.19)
    turned = which == "x" and len(kept) < len(values)
    if turned:
        kept = style.thin(places, 0.2)
    shown = [values[i] for i in kept]
    texts = [style.rate_text(value) for value in shown]
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(border[0], border[-1])
        look: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(shown, texts, **(look if turned else {}))
    else:
        axes.set_yscale("log")
        axes.set_ylim(border[0], border[-1])
        axes.set_yticks(shown, texts)
    axes.minorticks_off()
