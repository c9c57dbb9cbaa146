"""Marks of the optimum, the transferred cell and failed cells, and their legend."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from results.figures import style
from results.figures.panels import Panel
from results.row import Row

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Look = dict[str, Any]
"""Keyword arguments of a Matplotlib artist."""

OPTIMUM: Look = {"marker": "*", "ms": 17, "mfc": "white", "mec": "black", "mew": 1.1, "ls": "none"}
TRANSFERRED: Look = {  # large enough to surround the star
    "marker": "o", "ms": 22, "mfc": "none", "mec": "#D55E00", "mew": 2.6, "ls": "none",
}  # fmt: skip
REGION: Look = {"edgecolor": "#D55E00", "facecolor": "none", "linestyle": (0, (2, 1.5)), "lw": 1.4}
FAILED: Look = {"marker": "x", "ms": 8, "mec": style.INK, "mew": 1.6, "ls": "none"}
PRUNED: Look = {"marker": "_", "ms": 8, "mec": style.INK, "mew": 1.6, "ls": "none"}

_TEXTS = {
    "optimum": "best cell found at the shape",
    "transferred": "transferred cell",
    "diverged": "diverged",
    "at_chance": "at chance",
    "failed": "every run failed",
    "pruned": "stopped early by the search, after so many updates",
    "optimal": "the optimum's region, 95 %",
}
WITHOUT_TILE = ("failed", "pruned")
"""Outcomes of cells that are marks alone."""
_MARKS = {"optimum": OPTIMUM, "transferred": TRANSFERRED, "failed": FAILED, "pruned": PRUNED}


def put(axes: Axes, name: str, x: float, y: float, **options: Any) -> None:
    """Draw the mark `name` ("optimum", "transferred", "failed" or "pruned") at a point."""
    look = _MARKS[name]
    if name == "transferred":  # a white halo keeps it visible on any colour
        halo = look | {"mec": "white", "mew": look["mew"] + 2.2}
        axes.plot(x, y, zorder=5, **halo, **options)
    axes.plot(x, y, zorder=6, **look, **options)


def put_outcome(axes: Axes, cell: Row, x: float, y: float, **options: Any) -> None:
    """Draw the mark of a cell without a tile, over the updates after which it was stopped."""
    put(axes, cell["outcome"], x, y, **options)
    if cell["outcome"] == "pruned" and isfinite(cell["stopped_after"]):
        axes.annotate(
            f"{cell['stopped_after']:.0f}",
            (x, y),
            (0, 3),
            xycoords=options.get("transform", "data"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            color=style.INK,
            zorder=6,
        )


def region(axes: Axes, panel: Panel, rates: Sequence[str]) -> None:
    """Outline where the optimum of a panel is, over the axes that show these one or two rates.

    It ends where the axes do on an open side. Call it when the limits of the axes are set.
    """
    from matplotlib.patches import Rectangle

    if not panel.region or any(rate not in panel.region for rate in rates):
        return
    limits = [sorted(axes.get_xlim()), sorted(axes.get_ylim())]
    ends = [
        (max(panel.region[rate][0], low), min(panel.region[rate][1], high))
        for rate, (low, high) in zip(rates, limits, strict=False)
    ]
    if len(rates) == 1:
        axes.axvspan(*ends[0], **REGION, zorder=4)
        return
    (left, right), (bottom, top) = ends
    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, **REGION, zorder=4))


def entries(panels: Sequence[Panel]) -> list[str]:
    """Return the entries of the legend for what the panels show, in order."""
    seen = {outcome for panel in panels for outcome in panel.cells["outcome"]}
    shown = [name for name in ("optimum", "transferred") if any(getattr(p, name) for p in panels)]
    shown += ["optimal"] if any(panel.optimal for panel in panels) else []
    return shown + [kind for kind in (*style.REGIONS, *WITHOUT_TILE) if kind in seen]


def legend(figure: Figure, panels: Sequence[Panel], extra: Sequence[Artist] = ()) -> None:
    """Add a legend below the panels for what they show, and for the handles in `extra`."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    for name in entries(panels):
        if name == "optimal":
            handles.append(Patch(**REGION, label=_TEXTS[name]))
        elif name in style.REGIONS:
            face, hatch = style.REGIONS[name]
            look: Look = {"facecolor": face, "hatch": hatch * 2, "edgecolor": style.REGION_EDGE}
            handles.append(Patch(**look, label=_TEXTS[name]))
        else:
            handles.append(Line2D([], [], **(_MARKS[name] | {"ms": 13}), label=_TEXTS[name]))
    handles += extra
    below(figure, handles, 2.9)


def below(figure: Figure, handles: Sequence[Artist], inches: float) -> None:
    """Add a legend below the figure, in as many columns of `inches` as fit."""
    columns = max(1, min(len(handles), int(figure.get_figwidth() // inches)))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)
