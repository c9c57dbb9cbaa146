"""Style of the figures: sizes, colour-blind safe colours, ticks, names of variants."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING

from results.untrusted import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

PIXELS_PER_INCH = 160  # of the PNG; an inch is 100 CSS pixels on the page
MOST_INCHES = 400.0  # a PNG has at most 2^16 pixels a side
MOST_LETTERS = 64  # of a name in a figure
RATE_RANGE = (1e-30, 1e30)  # learning rates that are drawn
CMAP = "viridis"
INK, FAINT = "#1a1a1a", "#6b6b6b"
REGIONS = {  # face colour and hatch; the hatch alone distinguishes them
    "diverged": ("#dcdcdc", "////"),
    "at_chance": ("#f3eee3", "..."),
}
REGION_EDGE = "#7a7a7a"
# Okabe and Ito's palette; each line also has its own marker and dash.
LINES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#1a1a1a", "^", "-."),
    ("#009E73", "D", ":"),
    ("#CC79A7", "v", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", "P", (0, (8, 2))),
    ("#56B4E9", "X", (0, (1, 1))),
)
VARIANT_LABELS = {"mupc": "μPC", "sp": "SP", "bp": "BP", "ntp": "NTP", "pc": "PC"}

_RC: dict[RcKeyType, object] = {
    "font.family": "DejaVu Sans",  # ships with Matplotlib, so that pages are the same everywhere
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.6,
    "hatch.color": REGION_EDGE,
    "text.parse_math": False,  # a dollar sign in a name is not mathematics
    "axes.formatter.use_mathtext": False,
}


@dataclass(frozen=True)
class LineLook:
    """Colour, marker and dash of a line."""

    color: str
    marker: str
    linestyle: str | tuple[int, tuple[int, ...]]


@contextmanager
def styled(others: dict[RcKeyType, object] | None = None) -> Iterator[None]:
    """Apply the Matplotlib settings of the report, and `others`, inside a `with` block."""
    import matplotlib

    with matplotlib.rc_context(_RC | (others or {})):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` x `height` inches on the Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = min(width, MOST_INCHES), min(height, MOST_INCHES)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # The font lacks some scripts; the text of the page still has the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def is_drawable(rate: float) -> bool:
    """Return whether a learning rate has a place on the log axes of the figures."""
    return RATE_RANGE[0] <= rate <= RATE_RANGE[1]


def label(variant: str) -> str:
    """Return the display name of a variant: "μPC" for "mupc"."""
    shown = VARIANT_LABELS.get(variant) or printable(variant)
    return shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 1]}…"


def rank(variant: str) -> tuple[int, str]:
    """Return the sort key of a variant: those of `VARIANT_LABELS` first, then others by name."""
    known = list(VARIANT_LABELS)
    return (known.index(variant) if variant in known else len(known), variant)


def looks(names: Sequence[str]) -> dict[str, LineLook]:
    """Return a look per variant; those of `VARIANT_LABELS` look the same on every page."""
    known = [name for name in VARIANT_LABELS if name in names]
    fixed = {name: LINES[list(VARIANT_LABELS).index(name)] for name in known}
    free = [look for look in LINES if look not in fixed.values()]
    others = [name for name in names if name not in fixed]
    chosen = fixed | {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: LineLook(*chosen[name]) for name in names}


def sequence(count: int) -> list[LineLook]:
    """Return `count` looks for an ordered quantity such as depth, from dark to light."""
    import matplotlib
    from matplotlib.colors import to_hex

    cmap = matplotlib.colormaps[CMAP]
    palest = 0.82  # the rest of the map is too pale on white
    stops = [palest * i / max(count - 1, 1) for i in range(count)]
    return [
        LineLook(to_hex(cmap(stop)), LINES[i % len(LINES)][1], LINES[i % len(LINES)][2])
        for i, stop in enumerate(stops)
    ]


def rate_text(value: float) -> str:
    """Return a learning rate as a tick label, to three digits: "0.05", "1000", "1e-5"."""
    if 1e-4 <= value < 1e5:
        return f"{float(f'{value:.3g}'):.10g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def thin(positions: Sequence[float], gap: float) -> list[int]:
    """Return indices of sorted `positions` at least `gap` apart; the ends have priority."""
    if not positions:
        return []
    kept = [0]
    last = len(positions) - 1
    for i in range(1, len(positions)):
        room = i == last or positions[last] - positions[i] >= gap
        if positions[i] - positions[kept[-1]] >= gap and room:
            kept.append(i)
    return kept


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values in [low, high]: the coarsest three or more, else two, else the ends."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [d * 10.0**k for k in decades for d in digits]
        inside = [t for t in ticks if low <= t <= high]
        if len(inside) >= 3:
            return inside
    return inside if len(inside) == 2 else [low, high]


def loss_range(values: Sequence[float]) -> tuple[float, float]:
    """Return a range for a log axis that holds the positive finite `values`; else (0.1, 1)."""
    usable = [v for v in values if isfinite(v) and v > 0]
    if not usable:
        return 0.1, 1.0
    low, high = min(usable), max(usable)
    return (low, high) if high > low * 1.02 else (low / 1.1, high * 1.1)


def loss_axis(axes: Axes, low: float, high: float, *, margin: float = 1.12) -> None:
    """Set the y axis to a log axis from `low` to `high` with round ticks."""
    low, high = low / margin, high * margin
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = log_ticks(low, high)
    axes.set_yticks(ticks, [f"{t:.3g}" for t in ticks])
    axes.minorticks_off()
