"""Classifiers and their accuracy, shared by chapter 5's recipes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Judged
from experiments.settings import SEEDS, runs_of, stack

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

CHANCE = 0.1
"""Accuracy of guessing one of ten classes; diverged runs count as chance."""

CELL = ["weight_lr", "activity_lr"]

Rates = tuple[Sequence[float], Sequence[float | None]]
"""Values of eta and of beta, all pairs of which are tried."""


@dataclass(frozen=True)
class Training:
    """The length and batches of training.

    Attributes:
        steps: weight updates.
        eval_every: weight updates between two evaluations.
        batch_size: B.
        inference_steps: T; None means T = H.
        seeds: seeds of the weights and the order of the data.
        divergence_factor: when a run has diverged (`pccore.TrainingConfig`).
    """

    steps: int
    eval_every: int
    batch_size: int = 64
    inference_steps: int | None = None
    seeds: Sequence[int] = SEEDS
    divergence_factor: float | None = None


def classifiers(
    dataset: str,
    variant: str,
    shape: tuple[int, int],
    rates: Rates,
    training: Training,
    data_dir: Path | None,
    **options: Any,
) -> "list[Run]":
    """Return runs of a variant's residual ReLU networks, as in thesis 5.6, trained with Adam.

    Args:
        dataset: a name in `pccore.data.DATASETS`.
        variant: "bp" (backpropagation through muPC's network), or else predictive coding by
            gradient descent: "sp" under the standard parameterisation, "orthogonal" under that
            one without skips, any other under muPC.
        shape: N and H.
        rates: values of eta and beta.
        training: length and batches of training.
        data_dir: folder of the data sets.
        **options: further fields of `pccore.NetworkConfig`, such as another activation.
    """
    parameterisation = variant if variant in ("sp", "orthogonal") else "mupc"
    options |= {"parameterisation": parameterisation, "residual": variant != "orthogonal"}
    network = stack(dataset, *shape, **options)
    steps = training.inference_steps or network.depth
    rule: pccore.LearningRule = pccore.PredictiveCoding(pccore.GradientDescent(steps))
    config = pccore.TrainingConfig(
        network,
        pccore.Backpropagation() if variant == "bp" else rule,
        batch_size=training.batch_size,
        steps=training.steps,
        eval_every=training.eval_every,
    )
    etas, betas = rates
    return runs_of(
        dataset,
        variant,
        config,
        data_dir,
        weight_lrs=etas,
        activity_lrs=(None,) if variant == "bp" else betas,
        seeds=training.seeds,
        divergence_factor=training.divergence_factor,
    )


def best_cells(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return every network's runs at its most accurate learning rates, with accuracy `percent`.

    Diverged runs count as chance. Learning rates that lack some of `SEEDS` are left out.
    """
    scored = runs.assign(percent=100 * runs["test_accuracy"].fillna(CHANCE))
    scored[CELL] = scored[CELL].fillna(0.0)  # groupby drops null keys
    kind = ["dataset", "variant", "activation", "width", "depth"]
    groups = scored.groupby([*kind, *CELL])["percent"]
    scored["mean"] = groups.transform("mean").where(groups.transform("size") >= len(SEEDS))
    best = scored.groupby(kind)["mean"].transform("max")
    return scored[scored["mean"] == best]


def accuracy(evidence: Evidence, **where: object) -> float | None:
    """Return mean test accuracy (%) over seeds at the best learning rates; None if not run."""
    found = best_cells(evidence.trained(**where))
    return float(found["percent"].mean()) if len(found) else None


def extremes(evidence: Evidence, column: str) -> tuple[int, int] | None:
    """Return the smallest and the largest value of a size that was run; None unless they differ."""
    sizes = evidence.runs[column].dropna()
    if sizes.nunique() < 2:
        return None
    return int(sizes.min()), int(sizes.max())


def judged(numbers: Iterable[tuple[str, float | None, bool]], unit: str = "%") -> Judged | None:
    """Judge (name, number, holds) triples; None if a number is missing."""
    numbers = list(numbers)
    if not numbers or any(number is None for _, number, _ in numbers):
        return None
    text = ", ".join(f"{name} {number:.1f}{unit}" for name, number, _ in numbers)
    return Judged(text, all(holds for *_, holds in numbers))


def accuracy_curves(
    curves: "pd.DataFrame", hue: str, panel: str | None = None, *, ordered: bool = False
) -> "Figure":
    """Draw test accuracy (%) during training, a line for each `hue`, a panel for each `panel`."""
    from experiments.figures.measured import Axis, lines

    return lines(
        curves.assign(percent=100 * curves["test_accuracy"].astype(float)),
        Axis("step", "weight updates"),
        Axis("percent", "test accuracy, %", limits=(0, 100)),
        hue,
        panel,
        ordered=ordered,
    )
