"""How every figure looks: sizes, colours that a colour-blind reader tells apart, number ticks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS_PER_INCH = (
    160  # of the PNG; the page shows an inch as 100 CSS pixels, so 11 pt text reads as 15
)
CMAP = "viridis"
INK, FAINT = "#1a1a1a", "#6b6b6b"
REGIONS = {  # facecolour and hatch: told apart by the pattern alone
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
LABELS = {"mupc": "μPC", "sp": "SP", "bp": "BP", "ntp": "NTP", "pc": "PC"}

_RC: Any = {
    "font.family": "DejaVu Sans",  # ships with Matplotlib: the same page on every machine
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
    "text.parse_math": False,  # names come from a ledger: a dollar sign is a dollar sign
    "axes.formatter.use_mathtext": False,
}


@dataclass(frozen=True)
class LineLook:
    """Colour, marker and dash of one line."""

    color: str
    marker: str
    linestyle: str | tuple[int, tuple[int, ...]]


@contextmanager
def styled() -> Iterator[None]:
    """The report's Matplotlib settings, for the length of a `with` block."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches on the Agg canvas, laid out by Matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # A name in another script: the page's text has it, a box in a legend does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def label(variant: str) -> str:
    """A variant's name as a reader knows it: "mupc" -> "μPC"."""
    return LABELS.get(variant, variant)


def rank(variant: str) -> tuple[int, str]:
    """Sort key: the variants of `LABELS` first, in that order, then the others by name."""
    known = list(LABELS)
    return (known.index(variant) if variant in known else len(known), variant)


def looks(names: Sequence[str]) -> dict[str, LineLook]:
    """A look per name, in order; the muPC, SP and BP of every page look the same."""
    known = [name for name in LABELS if name in names]
    fixed = {name: LINES[list(LABELS).index(name)] for name in known}
    free = [look for look in LINES if look not in fixed.values()]
    others = [name for name in names if name not in fixed]
    chosen = fixed | {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: LineLook(*chosen[name]) for name in names}


def sequence(count: int) -> list[LineLook]:
    """`count` looks for an ordered quantity such as depth: dark to light, each its own marker."""
    import matplotlib
    from matplotlib.colors import to_hex

    cmap = matplotlib.colormaps[CMAP]
    stops = [
        0.82 * i / max(count - 1, 1) for i in range(count)
    ]  # the last fifth is too pale on white
    return [
        LineLook(to_hex(cmap(stop)), LINES[i % len(LINES)][1], LINES[i % len(LINES)][2])
        for i, stop in enumerate(stops)
    ]


def rate_text(value: float) -> str:
    """A learning rate as a tick label, to three digits: "0.05", "1000", "1e-5"."""
    if 1e-4 <= value < 1e5:
        return f"{float(f'{value:.3g}'):.10g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def thin(positions: Sequence[float], gap: float) -> list[int]:
    """Indices of the sorted `positions` at least `gap` apart; the ends are kept first."""
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
    """Round values inside [low, high], at least two: as coarse as leaves three, else its ends."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [d * 10.0**k for k in decades for d in digits]
        inside = [t for t in ticks if low <= t <= high]
        if len(inside) >= 3:
            return inside
    return inside if len(inside) == 2 else [low, high]


def loss_range(values: Sequence[float]) -> tuple[float, float]:
    """A log range that holds the positive finite `values`; (0.1, 1) if there are none."""
    usable = [v for v in values if isfinite(v) and v > 0]
    if not usable:
        return 0.1, 1.0
    low, high = min(usable), max(usable)
    return (low, high) if high > low * 1.02 else (low / 1.1, high * 1.1)


def loss_axis(axes: Axes, low: float, high: float, *, margin: float = 1.12) -> None:
    """Make the y axis a log axis from `low` to `high` with round ticks."""
    low, high = low / margin, high * margin
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = log_ticks(low, high)
    axes.set_yticks(ticks, [f"{t:.3g}" for t in ticks])
    axes.minorticks_off()
