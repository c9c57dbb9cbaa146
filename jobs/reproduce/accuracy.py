"""Networks trained to classify, and how accurate they are: what chapter 5's recipes share."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from jobs.reproduce.evidence import Evidence
from jobs.reproduce.recipe import Judged
from jobs.reproduce.settings import SEEDS, runs_of, stack

if TYPE_CHECKING:
    import pandas as pd

    from transfer import Run

CHANCE = 0.1
"""Accuracy of guessing one of ten classes; what a diverged run counts as."""

ACTIVATIONS = ("linear", "tanh", "relu")
CELL = ["weight_lr", "activity_lr"]

Rates = tuple[Sequence[float], Sequence[float | None]]
"""Values of eta and of beta, all pairs of which are tried."""


def classifiers(
    dataset: str,
    variant: str,
    width: int,
    depth: int,
    rates: Rates,
    data_dir: Path | None,
    *,
    steps: int,
    eval_every: int,
    inference_steps: int | None = None,
    activation: str = "relu",
    batch_size: int = 64,
    output: str = "mse",
    seeds: Iterable[int] = SEEDS,
) -> "list[Run]":
    """Residual networks of a variant, as all of thesis 5.6.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        variant: "bp" (backpropagation through muPC's network), or else predictive coding by
            gradient descent: "sp" under the standard parameterisation, any other under muPC.
        width: N.
        depth: H.
        rates: eta and beta.
        data_dir: where the files of data sets are.
        steps: weight updates.
        eval_every: weight updates between two evaluations.
        inference_steps: T; None means T = H.
        activation: a name in `pccore.ACTIVATIONS`.
        batch_size: B.
        output: a name in `pccore.OUTPUTS`.
        seeds: of the weights and the order of the data.
    """
    parameterisation = "sp" if variant == "sp" else "mupc"
    options: dict[str, Any] = {"activation": activation, "output": output}
    network = stack(dataset, width, depth, parameterisation=parameterisation, **options)
    rule: pccore.LearningRule = pccore.Backpropagation()
    if variant != "bp":
        descent = pccore.GradientDescent(inference_steps or depth)
        rule = pccore.PredictiveCoding(descent)
    config = pccore.TrainingConfig(
        network, rule, batch_size=batch_size, steps=steps, eval_every=eval_every
    )
    etas, betas = rates
    return runs_of(
        dataset,
        variant,
        config,
        data_dir,
        weight_lrs=etas,
        activity_lrs=(None,) if variant == "bp" else betas,
        seeds=seeds,
    )


def best_cells(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Of every kind of network the runs at its most accurate learning rates, with a `percent`.

    Diverged runs count as chance. Learning rates that not all of `SEEDS` ran are left out.
    """
    scored = runs.assign(percent=100 * runs["test_accuracy"].fillna(CHANCE))
    scored[CELL] = scored[CELL].fillna(0.0)  # no beta is a value here, or groups would lose it
    kind = ["dataset", "variant", "activation", "width", "depth"]
    groups = scored.groupby([*kind, *CELL])["percent"]
    scored["mean"] = groups.transform("mean").where(groups.transform("size") >= len(SEEDS))
    best = scored.groupby(kind)["mean"].transform("max")
    return scored[scored["mean"] == best]


def accuracy(evidence: Evidence, **where: object) -> float | None:
    """Mean test accuracy over seeds at the best learning rates, in %; None if it was not run."""
    found = best_cells(evidence.trained(**where))
    return float(found["percent"].mean()) if len(found) else None


def extremes(evidence: Evidence, column: str) -> tuple[int, int] | None:
    """The smallest and the largest value of a size that was run; None unless they differ."""
    sizes = evidence.runs[column].dropna()
    if sizes.nunique() < 2:
        return None
    return int(sizes.min()), int(sizes.max())


def judged(numbers: Iterable[tuple[str, float | None, bool]], unit: str = "%") -> Judged | None:
    """Of numbers with what they are of and whether each is as claimed; None if one is missing."""
    numbers = list(numbers)
    if not numbers or any(number is None for _, number, _ in numbers):
        return None
    text = ", ".join(f"{name} {number:.1f}{unit}" for name, number, _ in numbers)
    return Judged(text, all(holds for *_, holds in numbers))
