"""Lines, maps and spectra of any columns, in panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.figures import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 3.7  # inches
MOST_TICKS = 8
CHARACTERS = 36  # space for tick labels of one panel


@dataclass(frozen=True)
class Axis:
    """One axis of a figure.

    Attributes:
        column: column of the frame.
        label: label of the axis.
        log: True for a logarithmic axis.
        limits: ends of the axis; None for those of the data.
    """

    column: str
    label: str
    log: bool = False
    limits: tuple[float | None, float | None] = (None, None)


def lines(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    hue: str | None = None,
    panel: str | None = None,
    *,
    ordered: bool = False,
    dashed: str | None = None,
    columns: int = 3,
    title: str = "",
) -> Figure:
    """Draw means over all other columns as lines, with bands of one standard deviation.

    Args:
        frame: rows of the ledger; those without `y` are left out.
        x: horizontal axis.
        y: vertical axis.
        hue: the column of lines.
        panel: the column of panels.
        ordered: True if `hue` is an ordered quantity, shown dark to light.
        dashed: a column of predictions, drawn as thin dashed lines in the colour of their line.
        columns: maximum number of panels in a row.
        title: title above all panels.
    """
    frame = frame.dropna(subset=[x.column, y.column])
    hues = _values(frame, hue)
    names = [_text(value) for value in hues]
    looks = style.sequence(len(hues)) if ordered else list(style.looks(names).values())
    with style.styled():
        figure, panels = _panels(frame, panel, columns, title)
        for axes, part in panels:
            for value, name, look in zip(hues, names, looks, strict=True):
                mine = part if hue is None else part[part[hue] == value]
                _line(axes, mine, x.column, y.column, look, style.label(name))
                if dashed is not None:
                    means = mine.groupby(x.column)[dashed].mean()
                    axes.plot(means.index, means, "--", lw=1, color=look.color)
            _scale(axes, x, y)
        if hue is not None:
            _legend(figure, panels[0][0])
    return figure


def heat(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    value: Axis,
    panel: str | None = None,
    *,
    columns: int = 3,
    title: str = "",
) -> Figure:
    """Draw means of `value` as a map over `x` and `y`, one colour scale for all panels."""
    from matplotlib.colors import LogNorm, Normalize

    xs, ys = sorted(frame[x.column].unique()), sorted(frame[y.column].unique())
    numbers = frame[value.column].dropna()
    ends = style.loss_range(list(numbers)) if value.log else (numbers.min(), numbers.max())
    low, high = (
        end if given is None else given for end, given in zip(ends, value.limits, strict=True)
    )
    norm = LogNorm(low, high) if value.log else Normalize(low, high)
    with style.styled():
        figure, panels = _panels(frame, panel, columns, title)
        image = None
        for axes, part in panels:
            table = part.pivot_table(index=y.column, columns=x.column, values=value.column)
            table = table.reindex(index=ys, columns=xs)
            image = axes.imshow(
                table.to_numpy(float), origin="lower", aspect="auto", cmap=style.CMAP, norm=norm
            )
            for ticks, values in ((axes.set_xticks, xs), (axes.set_yticks, ys)):
                ticks(*_cell_ticks(values))
            axes.set_xlabel(x.label)
            axes.set_ylabel(y.label)
        if image is not None:
            bar = figure.colorbar(image, ax=[axes for axes, _ in panels], label=value.label)
            if value.log:
                places, texts = _log_ticks(low, high)
                bar.set_ticks(places, labels=texts)
                bar.minorticks_off()
    return figure


def histogram(
    frame: pd.DataFrame,
    x: Axis,
    hue: str | None = None,
    panel: str | None = None,
    *,
    bins: int = 50,
    columns: int = 3,
    title: str = "",
) -> Figure:
    """Draw densities of a column as stepped outlines, for example of spectra."""
    frame = frame.dropna(subset=[x.column])
    hues = _values(frame, hue)
    names = [_text(value) for value in hues]
    looks = list(style.looks(names).values())
    with style.styled():
        figure, panels = _panels(frame, panel, columns, title)
        for axes, part in panels:
            for value, name, look in zip(hues, names, looks, strict=True):
                mine = part if hue is None else part[part[hue] == value]
                axes.hist(
                    mine[x.column], bins, density=True, histtype="step", color=look.color,
                    linestyle=look.linestyle, lw=1.6, label=style.label(name),
                )  # fmt: skip
            _scale(axes, x, Axis("", "density"))
        if hue is not None:
            _legend(figure, panels[0][0])
    return figure


def _values(frame: pd.DataFrame, column: str | None) -> list[str | float]:
    """Return the distinct values of a column: sorted numbers, or names in order of variants."""
    if column is None:
        return [""]
    values = list(frame[column].dropna().unique())
    return sorted(values, key=style.rank if values and isinstance(values[0], str) else None)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _panels(
    frame: pd.DataFrame, panel: str | None, columns: int, title: str
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    values = _values(frame, panel) or [""]
    across = min(columns, len(values))
    down = math.ceil(len(values) / across)
    figure = style.new_figure(PANEL * across + 1.4, 3.0 * down + 0.7)
    if title:
        figure.suptitle(title)
    found = []
    for place, value in enumerate(values, start=1):
        axes = figure.add_subplot(down, across, place)
        if panel is not None:
            axes.set_title(style.label(value) if isinstance(value, str) else f"{panel} {value:g}")
        found.append((axes, frame if panel is None else frame[frame[panel] == value]))
    return figure, found


def _line(axes: Axes, rows: pd.DataFrame, x: str, y: str, look: style.LineLook, name: str) -> None:
    groups = rows.groupby(x)[y]
    means, spread = groups.mean(), groups.std().fillna(0.0)
    marker = look.marker if len(means) <= 20 else None
    axes.plot(
        means.index, means, color=look.color, marker=marker, ms=5, ls=look.linestyle, lw=1.7,
        label=name,
    )  # fmt: skip
    axes.fill_between(
        means.index, means - spread, means + spread, color=look.color, alpha=0.18, lw=0
    )


def _scale(axes: Axes, x: Axis, y: Axis) -> None:
    import numpy as np

    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    if x.log:
        axes.set_xscale("log")
    if y.log:
        axes.set_yscale("log")
    axes.set_xlim(*x.limits)
    axes.set_ylim(*y.limits)
    if x.log:
        sizes = sorted(
            {float(v) for line in axes.get_lines() for v in np.asarray(line.get_xdata())}
        )
        few = len(sizes) <= MOST_TICKS  # every size, such as a depth, has a tick
        axes.set_xticks(*_log_ticks(*axes.get_xlim(), sizes if few else None))
        axes.xaxis.minorticks_off()
    if y.log:
        axes.set_yticks(*_log_ticks(*axes.get_ylim()))
        axes.yaxis.minorticks_off()


def _log_ticks(
    low: float, high: float, values: Sequence[float] | None = None
) -> tuple[list[float], list[str]]:
    """Return tick positions and plain labels, in place of Matplotlib's math text."""
    ticks = list(values or style.log_ticks(low, high))
    ticks = ticks[:: math.ceil(len(ticks) / MOST_TICKS)]
    return ticks, [style.rate_text(tick) for tick in ticks]


def _cell_ticks(values: Sequence[float]) -> tuple[list[float], list[str]]:
    """Return tick positions and labels of a row of cells; round numbers on an even scale."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    numbers = np.asarray(values, float)
    steps = np.diff(numbers)
    if len(numbers) > MOST_TICKS and np.allclose(steps, steps[0], atol=0):
        low, high = numbers[[0, -1]]
        ticks = MaxNLocator(4).tick_values(low, high)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        places = (ticks - low) / (high - low) * (len(numbers) - 1)
        return list(places), [f"{tick:g}" for tick in ticks]
    texts = [f"{number:.3g}" for number in numbers]
    room = min(MOST_TICKS, CHARACTERS // (1 + max(map(len, texts), default=1)))
    kept = style.thin(list(range(len(texts))), max(1, len(texts) / room))
    return list(kept), [texts[i] for i in kept]


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        entry = 0.8 + 0.09 * max(map(len, names))  # inches, roughly
        fit = max(1, int(figure.get_figwidth() / entry))
        figure.legend(handles, names, loc="outside lower center", ncols=min(fit, len(names)))
