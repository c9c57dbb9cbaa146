"""Thesis fig. C.20: wider networks learn better."""

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.accuracy import Rates, Training, best_cells, classifiers
from experiments.evidence import Evidence
from experiments.learning_rates import (
    AUTHORS,
    AUTHORS_BP,
    BETAS,
    ETAS,
    OUR_BETAS,
    OURS_BP,
)
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, steps_of

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

WIDTHS = (64, 128, 256, 512, 1024)
SLACK = 0.5
"""Percentage points by which a wider network may be worse before it counts against the claim."""


def small_widths(data_dir: Path | None) -> "list[Run]":
    """Return 8-layer networks; muPC with every activation, BP with ReLU."""
    training = Training(steps=200, eval_every=200)
    mupc: Rates = ([0.1], OUR_BETAS[:1])
    bp: Rates = ([OURS_BP["relu"]], [None])
    found = []
    for width in (32, 64, 128, 256):
        shape = width, 8
        for activation in ACTIVATIONS:
            found += classifiers(
                "mnist", "mupc", shape, mupc, training, data_dir, activation=activation
            )
        found += classifiers("mnist", "bp", shape, bp, training, data_dir)
    return found


def full_widths(data_dir: Path | None) -> "list[Run]":
    """Return 8-layer networks; every variant with every activation."""
    training = Training(steps_of("mnist", 1), eval_every=300)
    found = []
    for width in WIDTHS:
        for activation in ACTIVATIONS:
            eta, beta = AUTHORS[activation]
            variants: list[tuple[str, Rates]] = [
                ("mupc", ([eta], [beta])),
                ("sp", (ETAS, BETAS)),
                ("bp", ([AUTHORS_BP[activation]], [None])),
            ]
            for variant, rates in variants:
                found += classifiers(
                    "mnist", variant, (width, 8), rates, training, data_dir, activation=activation
                )
    return found


def wider_is_better(evidence: Evidence) -> Judged | None:
    """Judge accuracy at every doubling, and from the narrowest to the widest."""
    parts, holds = [], True
    for activation in ACTIVATIONS:
        runs = best_cells(evidence.trained(variant="mupc", activation=activation))
        percent = runs.groupby("width")["percent"].mean()
        if len(percent) < 3:
            return None
        rises = bool((percent.diff().dropna() >= -SLACK).all())
        holds &= rises and percent.iloc[-1] > percent.iloc[0]
        path = ", ".join(f"{value:.1f}" for value in percent)
        parts.append(f"{activation} {path}%")
    widths = ", ".join(str(width) for width in percent.index)
    return Judged(f"{'; '.join(parts)} at N = {widths}", holds)


def accuracy_by_width(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        best_cells(evidence.runs),
        Axis("width", "N, units per hidden layer", log=True),
        Axis("percent", "test accuracy, %"),
        "variant",
        "activation",
    )


WIDTH = (
    Recipe(
        name="width",
        title="wider is better",
        source="T C.4, fig. C.20",
        small=Setting(
            "MNIST, N = 32, 64, 128, 256, H = 8, muPC with linear, tanh and ReLU and BP with ReLU, "
            "200 steps of B = 64, T = H, 3 seeds, one pair of rates for all widths",
            small_widths,
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, N = 64 to 1024, H = 8, linear, tanh and ReLU, one epoch of B = 64, T = H, 3 "
            "seeds; muPC and BP at the optima of the authors' code, SP over their grid",
            full_widths,
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "wider networks of muPC are more accurate",
                "T fig. C.20",
                "accuracy rises with N",
                f"{SLACK} points down at a doubling; up from the narrowest to the widest",
                wider_is_better,
            ),
        ),
        figures={"fig-C.20-width": accuracy_by_width},
        choices="The thesis uses the best rates of every width; the small scale uses one pair "
        "for all, as transfer promises.",
    ),
)
