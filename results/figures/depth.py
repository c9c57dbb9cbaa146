"""How much each layer learned at the transferred cell of each variant, one line per shape.

A line is the median over the seeds that trained of the change of every weight matrix. Layers that
never moved lie on the lower edge.
"""

from __future__ import annotations

from math import ceil, log10
from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.cells import at_shape, shapes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEARNED = 0.01
"""The change above which a layer counts as one that learned; the value of `pccore.LEARNED`."""
LOWEST = 1e-5
"""The lower edge of the panels."""
THRESHOLD: marks.Look = {"color": style.FAINT, "lw": 1, "ls": (0, (2, 2))}


def draw(layers: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Return the figure of change against layer, one panel per variant.

    Args:
        layers: rows of `layers` for `runs`; at least one.
        runs: the runs at the transferred cells.
    """
    from matplotlib.lines import Line2D

    data = layers.merge(runs[["run_id", "variant", "width", "depth", "outcome"]], on="run_id")
    names = sorted(data["variant"].unique(), key=style.rank)
    looks = dict(zip(shapes(data), style.sequence(len(shapes(data))), strict=True))
    with style.styled():
        figure = style.new_figure(max(3.5 * len(names) + 0.8, 6.0), 3.9)
        first: Axes | None = None
        for column, name in enumerate(names):
            axes = figure.add_subplot(1, len(names), column + 1, sharex=first, sharey=first)
            mine = data[data["variant"].eq(name)]
            for shape, look in looks.items():
                _line(axes, at_shape(mine, shape), look)
            axes.axhline(LEARNED, zorder=0, **THRESHOLD)
            axes.set_title(style.label(name))
            axes.set_xlabel("layer / L (input to output)")
            if first is None:
                _percent_axis(axes, data["change"].replace(float("inf"), 1.0).max())
            else:
                axes.tick_params(labelleft=False)
            first = first or axes
        handles = [
            Line2D([], [], color=k.color, ls=k.linestyle, lw=1.8, label=shape.symbols)
            for shape, k in looks.items()
        ]
        handles.append(Line2D([], [], **THRESHOLD, label=f"learned: above {100 * LEARNED:g} %"))
        marks.below(figure, handles, 1.9)
    return figure


def _percent_axis(axes: Axes, highest: float) -> None:
    """Set a log axis of percent from `LOWEST` to a decade that shows the highest change."""
    decades = range(-5, max(1, ceil(log10(max(highest, LOWEST)))) + 1)
    axes.set_yscale("log")
    axes.set_yticks([10.0**k for k in decades], [f"{100 * 10.0**k:g}" for k in decades])
    axes.minorticks_off()
    axes.set_ylim(LOWEST / 1.5, 2 * 10.0 ** decades[-1])
    axes.set_ylabel("change, % of initial RMS")


def _line(axes: Axes, layers: pd.DataFrame, look: style.LineLook) -> None:
    if layers.empty:
        return
    change = layers.groupby("layer")["change"].median().clip(lower=LOWEST)
    axes.plot(change.index / len(change), change, color=look.color, ls=look.linestyle, lw=1.8)
