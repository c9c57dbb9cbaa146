"""Thesis 5.8, C.3.4: alternatives to muPC, the orthogonal start and Depth-muP's rate of Adam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.accuracy import Rates, Training, accuracy, best_cells, classifiers
from experiments.evidence import Evidence
from experiments.intervals import Interval, all_of
from experiments.learning_rates import BETAS, ETAS
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import steps_of

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

ORTHOGONAL, RESCALED = "orthogonal", "mupc, rescaled rate"
SMALL = 64, Training(steps=200, eval_every=50)
FULL = 512, Training(steps_of("mnist", 1), eval_every=300)


def against_orthogonal(
    data_dir: Path | None,
    size: tuple[int, Training],
    depths: Sequence[int],
    mupc: Rates,
    orthogonal: Rates,
) -> "list[Run]":
    """Return tanh networks under muPC with skips and under the orthogonal start without."""
    width, training = size
    found = []
    for depth in depths:
        for variant, rates in (("mupc", mupc), (ORTHOGONAL, orthogonal)):
            found += classifiers(
                "mnist", variant, (width, depth), rates, training, data_dir, activation="tanh"
            )
    return found


def rescaled(
    data_dir: Path | None,
    size: tuple[int, Training],
    depths: Sequence[int],
    etas: Sequence[float],
    betas: Sequence[float],
) -> "list[Run]":
    """Return ReLU networks of muPC at the authors' grid of eta times sqrt(N L)."""
    width, training = size
    found = []
    for depth in depths:
        factor = (width * (depth + 1)) ** 0.5
        rates: Rates = ([eta * factor for eta in etas], betas)
        found += classifiers("mnist", RESCALED, (width, depth), rates, training, data_dir)
    return found


def percents(evidence: Evidence, variant: str, depth: int) -> "pd.Series":
    """Return accuracy (%) by seed at the variant's best rates."""
    runs = best_cells(evidence.trained(variant=variant, depth=depth))
    return runs.groupby("seed")["percent"].mean()


def mupc_beats_orthogonal(evidence: Evidence) -> Judged | None:
    """Judge the difference at every depth, with the interval over seeds."""
    parts, holds = [], []
    for depth in sorted(evidence.runs["depth"].dropna().unique()):
        mupc, other = (percents(evidence, name, depth) for name in ("mupc", ORTHOGONAL))
        lead = (mupc - other).dropna()
        if not len(lead):
            return None
        interval = Interval.of(lead)
        parts.append(
            f"H = {depth}: muPC {mupc.mean():.1f}%, orthogonal {other.mean():.1f}%, ahead by "
            f"{interval} points"
        )
        holds.append(interval.above(0))
    return Judged("; ".join(parts), all_of(holds)) if parts else None


def rescaling_prevents_training(evidence: Evidence) -> Judged | None:
    parts, holds = [], True
    for depth in sorted(evidence.runs["depth"].dropna().unique()):
        best = accuracy(evidence, variant=RESCALED, depth=depth)
        if best is None:
            return None
        runs = best_cells(evidence.trained(variant=RESCALED, depth=depth)).iloc[0]
        parts.append(f"H = {depth} at most {best:.1f}%, at eta {runs['weight_lr']:.3g}")
        holds &= best <= 20
    return Judged(", ".join(parts), holds) if parts else None


def accuracy_by_depth(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        best_cells(evidence.runs),
        Axis("depth", "H, hidden layers", log=True),
        Axis("percent", "test accuracy, %", limits=(0, 100)),
        "variant",
    )


OURS: Rates = ([0.1, 0.05], (10, 5))
OURS_ORTHOGONAL: Rates = ([0.01, 0.003, 0.001], (20, 10, 5))
GRID: Rates = (ETAS, BETAS)
ORTHOGONAL_GRID: Rates = ([0.03, 0.01, 0.003, 0.001, 0.0003], BETAS)

ALTERNATIVES = (
    Recipe(
        name="orthogonal-accuracy",
        title="the orthogonal start is not as effective as muPC",
        source="T C.3.4, fig. C.13",
        small=Setting(
            "MNIST, tanh, N = 64, H = 8, 32, 200 steps of B = 64, T = H, 3 seeds; muPC with skips "
            "at the best of 2 x 2 cells, orthogonal without at the best of 3 x 3",
            lambda data_dir: against_orthogonal(data_dir, SMALL, (8, 32), OURS, OURS_ORTHOGONAL),
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, tanh, N = 512, H = 8, 32, 128, one epoch of B = 64, T = H, 3 seeds, both over "
            "their grids",
            lambda data_dir: against_orthogonal(
                data_dir, FULL, (8, 32, 128), GRID, ORTHOGONAL_GRID
            ),
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "the orthogonal start is not as effective as muPC",
                "T C.3.4, figs. C.13, C.26",
                "less accurate at every depth",
                "by any amount, interval over seeds",
                mupc_beats_orthogonal,
            ),
        ),
        figures={"fig-C.13-orthogonal-accuracy": accuracy_by_depth},
        choices="The gain of 1.05 for tanh is that of the authors' published code. Each start has "
        "its best rates at every depth.",
    ),
    Recipe(
        name="rescaled-adam",
        title="Adam's rate rescaled by sqrt(N L)",
        source="T5.3.1, T5.8",
        small=Setting(
            "MNIST, ReLU, muPC, N = 64, H = 8, 32, 200 steps of B = 64, T = H, 3 seeds, the "
            "authors' eta times sqrt(N L), beta 10 and 5",
            lambda data_dir: rescaled(data_dir, SMALL, (8, 32), ETAS, (10, 5)),
            datasets=("mnist",),
        ),
        full=Setting(
            "the same with N = 512, H = 8, 32, 128, for one epoch, over the authors' grid",
            lambda data_dir: rescaled(data_dir, FULL, (8, 32, 128), ETAS, BETAS),
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "networks are not trainable with Adam's rate rescaled by sqrt(N L)",
                "T5.8",
                "accuracy at chance at every rate",
                "at most 20% at the best rates, every depth",
                rescaling_prevents_training,
            ),
        ),
        figures={"rescaled-adam-accuracy": accuracy_by_depth},
        choices="The grid is C.4's, multiplied by sqrt(N L) at each shape: a smaller one would "
        "undo the factor.",
    ),
)
