"""Thesis figs. 5.5, C.31, C.32: learning rates tuned at a small size and rerun at larger ones."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import expm1, isnan
from typing import TYPE_CHECKING

import transfer
from experiments.evidence import Evidence
from experiments.learning_rates import BETAS, ETAS
from experiments.recipe import Claim, Judged, Recipe, Setting

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

Sizes = Mapping[str, Sequence[int]]
"""Widths or depths of targets."""

TOLERANCE = 1.1
"""Loss with the transferred rates relative to the best found, as in the verdicts."""


def experiment(
    activations: Sequence[str],
    training: Mapping[str, object],
    tune: Mapping[str, object],
    targets: Sizes,
) -> transfer.Experiment:
    """Return muPC on MNIST, T = H, with every cell at every shape as in the figures, 3 seeds."""
    return transfer.Experiment.from_dict(
        {
            "name": "search",
            "dataset": "mnist",
            "network": {"activation": list(activations)},
            "variants": ["mupc"],
            "training": {"inference": {"scheme": "gradient_descent", "steps": "depth"}, **training},
            "tune": {**tune, "seeds": 3},
            "transfer": {**targets, "neighbourhood": "all"},
        }
    )


def small(targets: Sizes) -> transfer.Experiment:
    rates = {"weight_lr": list(ETAS), "activity_lr": list(BETAS)}
    return experiment(
        ["tanh", "relu"],
        {"steps": 150, "eval_every": 150},
        {"width": 64, "depth": 8, **rates},
        targets,
    )


def full(width: int, targets: Sizes) -> transfer.Experiment:
    rates = {"weight_lr": list(ETAS), "activity_lr": list(BETAS)}
    return experiment(
        ["linear", "tanh", "relu"],
        {"epochs": 1, "eval_every": 300},
        {"width": width, "depth": 8, **rates},
        targets,
    )


def all_held(evidence: Evidence) -> Judged | None:
    """Judge that the verdict is "held" at every target."""
    verdicts = evidence.verdicts
    if not len(verdicts):
        return None
    parts = []
    for row in verdicts.sort_values(["activation", "width", "depth"]).to_dict("records"):
        regret = "" if isnan(row["regret"]) else f" ({100 * expm1(row['regret']):.0f}%)"
        parts.append(
            f"{row['activation']} {row['width']} x {row['depth']} {row['verdict']}{regret}"
        )
    return Judged(", ".join(parts), bool((verdicts["verdict"] == "held").all()))


def smallest_losses(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return mean smallest single-batch losses over seeds, by shape (row) and cell (column)."""
    return runs.pivot_table(
        index=["width", "depth"], columns=["weight_lr", "activity_lr"], values="min_train_loss"
    )


def held_by_smallest_loss(evidence: Evidence) -> Judged | None:
    """Judge the excess at every target of the cell tuned by the smallest single-batch loss."""
    if not len(evidence.verdicts):
        return None
    parts, worst = [], 1.0
    for activation, rows in evidence.verdicts.groupby("activation"):
        table = smallest_losses(evidence.trained(activation=activation))
        tuned = rows.iloc[0]
        cell = table.loc[(tuned["tune_width"], tuned["tune_depth"])].idxmin()
        excess = table[cell] / table.min(axis=1)
        shape = excess.idxmax()
        worst = max(worst, float(excess.max()))
        parts.append(
            f"{activation} at η {cell[0]:g}, β {cell[1]:g} up to {100 * (excess.max() - 1):.0f}% "
            f"above the best, at {shape[0]} x {shape[1]}"
        )
    return Judged(", ".join(parts), worst <= TOLERANCE)


def landscapes(evidence: Evidence, activation: str, size: str) -> "Figure":
    """Draw the thesis's figure: smallest loss over eta and beta, a panel for each shape."""
    from experiments.figures.measured import Axis, heat

    runs = evidence.trained(activation=activation)
    return heat(
        runs,
        Axis("activity_lr", "β"),
        Axis("weight_lr", "η"),
        Axis("min_train_loss", "smallest training loss", log=True),
        size,
        columns=5,
        title=activation,
    )


def claims(size: str, figures: str) -> tuple[Claim, Claim]:
    return (
        Claim(
            f"both learning rates transfer across {size}, by the final loss",
            figures,
            "no loss from transferring",
            "within 10% of the best cell at every target, with the interval over seeds",
            all_held,
        ),
        Claim(
            f"both learning rates transfer across {size}, by the thesis's metric",
            figures,
            "no loss from transferring",
            "smallest batch loss within 10% of that of the best cell at every target",
            held_by_smallest_loss,
        ),
    )


def recipe(size: str, small_targets: Sizes, full_width: int, full_targets: Sizes) -> Recipe:
    """Return the recipe of transfer across `size`, "depth" or "width"."""
    kept = {"depth": f"N = {full_width}", "width": "H = 8"}[size]
    to = ", ".join(map(str, small_targets[f"{size}s"]))
    return Recipe(
        name=f"transfer-{size}",
        title=f"learning rates tuned at a small size transfer across {size}",
        source="T5.6, figs. 5.5, C.31, C.32",
        small=Setting(
            f"MNIST, tanh, ReLU, 4 x 11 cells, tuned at N = 64, H = 8, rerun at {size} {to}, 150 "
            "steps of B = 64, T = H, 3 seeds",
            experiments=lambda: (small(small_targets),),
            datasets=("mnist",),
        ),
        full=Setting(
            f"MNIST, linear, tanh and ReLU, 4 x 11 cells, tuned at N = {full_width}, H = 8, rerun "
            f"at {size} {', '.join(map(str, full_targets[f'{size}s']))} with {kept}, one epoch of "
            "B = 64, T = H, 3 seeds",
            experiments=lambda: (full(full_width, full_targets),),
            datasets=("mnist",),
        ),
        claims=claims(size, "T figs. 5.5, C.32"),
        figures={
            f"fig-C.31-{size}-linear": partial(landscapes, activation="linear", size=size),
            f"fig-5.5-{size}-tanh": partial(landscapes, activation="tanh", size=size),
            f"fig-C.32-{size}-relu": partial(landscapes, activation="relu", size=size),
        },
        choices="The final loss decides, by the transfer verdict. The thesis's metric, which "
        "rewards runs that diverge later, is judged separately.",
    )


TRANSFER = (
    recipe("depth", {"depths": [16, 32]}, 512, {"depths": [16, 32, 64, 128]}),
    recipe("width", {"widths": [128, 256]}, 64, {"widths": [128, 256, 512, 1024]}),
)
