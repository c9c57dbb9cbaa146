"""Thesis 6.3: the energy that inference reaches in a given time, against its minimum in theory."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pccore
from experiments.energies import energies, plain_linear
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import NAMES, SEEDS, runs_of, steps_of
from pccore.theory.numerical_energy import NumericalEnergy

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

DATASETS = ("mnist", "fashion_mnist")
TIMES = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Upper limits of integration from section 6.4; those of figure 6.1 are not stated."""

DEPTH = 10
ROW = ("activity_lr", "seed", "step")
FLOW = pccore.AdaptiveFlow(time=1.0, max_steps=512)
"""The upper limit is beta, so that all times are lanes of one program."""


def trained(
    data_dir: Path | None, *, width: int, steps: int | None, eval_every: int, seeds: Sequence[int]
) -> "list[Run]":
    """Return linear networks with each inference time; `steps` None means an epoch."""
    found = []
    for dataset in DATASETS:
        network = plain_linear(dataset, width, DEPTH)
        config = pccore.TrainingConfig(
            network,
            pccore.PredictiveCoding(FLOW),
            steps=steps_of(dataset, 1) if steps is None else steps,
            eval_every=eval_every,
            probes=(NumericalEnergy(FLOW),),
        )
        found += runs_of(
            dataset,
            "pc",
            config,
            data_dir,
            weight_lrs=[1e-3],
            activity_lrs=TIMES,
            seeds=seeds,
        )
    return found


def accuracy_by_time(evidence: Evidence, dataset: str) -> "pd.Series | None":
    """Return accuracy in %, the mean over evaluations and seeds, by time; None if incomplete."""
    curves = evidence.curves
    if not len(curves):
        return None
    curves = curves[curves["dataset"] == dataset]
    found = 100 * curves.groupby("activity_lr")["test_accuracy"].mean()
    return found if tuple(found.index) == TIMES and found.notna().all() else None


def shared_excess(evidence: Evidence, dataset: str) -> "pd.Series | None":
    """Return the excess at the initial weights, which all times share, by time."""
    table = energies(evidence, ROW, dataset=dataset)
    if not len(table):
        return None
    table = table[table["step"] == 0]
    excess = (table["numerical"] / table["theory"] - 1).groupby(table["activity_lr"]).mean()
    return excess if tuple(excess.index) == TIMES and excess.notna().all() else None


def approaches_theory(evidence: Evidence) -> Judged | None:
    parts, holds = [], True
    for dataset in DATASETS:
        excess = shared_excess(evidence, dataset)
        if excess is None:
            return None
        way = ", ".join(f"{value:.2g} at {time:g}" for time, value in excess.items())
        parts.append(f"{NAMES[dataset]} {way}")
        holds &= bool((excess.diff().dropna() < 0).all())
    return Judged(f"excess {'; '.join(parts)}", holds)


def accuracy_rises_with_time(evidence: Evidence, dataset: str) -> Judged | None:
    """Judge the rank correlation of time and accuracy, and the two ends."""
    accuracy = accuracy_by_time(evidence, dataset)
    if accuracy is None:
        return None
    order = float(accuracy.rank().corr(accuracy.index.to_series().rank()))
    measured = (
        f"rank correlation {order:.2f}; {accuracy.iloc[0]:.1f}% at {TIMES[0]:g}, "
        f"{accuracy.iloc[-1]:.1f}% at {TIMES[-1]:g}, at most {accuracy.max():.1f}%"
    )
    return Judged(measured, order >= 0.7 and accuracy.iloc[-1] > accuracy.iloc[0])


def energy_figure(evidence: Evidence) -> "Figure":
    """Draw both energies during training, a panel for each time, a line for each data set."""
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    parts = [
        energies(evidence, ROW, dataset=dataset).assign(dataset=NAMES[dataset])
        for dataset in DATASETS
    ]
    table = pd.concat(parts)
    return lines(
        table.assign(t=table["activity_lr"]),
        Axis("step", "training step"),
        Axis("numerical", "energy", log=True),
        "dataset",
        "t",
        dashed="theory",
        columns=4,
        title="Energy where inference ends at time t (lines) and eq. 6.1 (dashes)",
    )


def accuracy_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    curves = evidence.curves
    return lines(
        curves.assign(percent=100 * curves["test_accuracy"], dataset=curves["dataset"].map(NAMES)),
        Axis("step", "training step"),
        Axis("percent", "test accuracy, %"),
        "activity_lr",
        "dataset",
        ordered=True,
        title="Test accuracy, by the time of inference",
    )


INFERENCE_TIME = (
    Recipe(
        name="energy-vs-inference-time",
        title="the theoretical energy shows whether inference ran for long enough",
        source="T6.3, figs. 6.1, D.5",
        small=Setting(
            "MNIST and Fashion-MNIST, linear, N = 64, H = 10, 200 updates of Adam at eta = 1e-3, "
            "Heun's flow to t = 5, 10, 20, 50, 100, 200, 500, 2 seeds",
            lambda data_dir: trained(data_dir, width=64, steps=200, eval_every=10, seeds=SEEDS[:2]),
            datasets=DATASETS,
        ),
        full=Setting(
            "MNIST and Fashion-MNIST, linear, N = 300, H = 10, an epoch of Adam at eta = 1e-3, "
            "Heun's flow to t = 5, 10, 20, 50, 100, 200, 500, 3 seeds",
            lambda data_dir: trained(data_dir, width=300, steps=None, eval_every=10, seeds=SEEDS),
            datasets=DATASETS,
        ),
        claims=(
            Claim(
                "longer inference brings the energy closer to its theoretical value",
                "T fig. 6.1",
                "a smaller excess at every longer time, at the same weights",
                "none; mean over training and seeds",
                approaches_theory,
            ),
            *(
                Claim(
                    f"more inference correlates with higher test accuracy on {NAMES[dataset]}",
                    f"T fig. {figure}",
                    "accuracy, mean over training, rises with the time",
                    "rank correlation of at least 0.7, and higher at the longest than the shortest",
                    partial(accuracy_rises_with_time, dataset=dataset),
                )
                for dataset, figure in zip(DATASETS, ("6.1", "D.5"), strict=True)
            ),
        ),
        figures={
            "fig-6.1-energies": energy_figure,
            "fig-6.1-accuracies": accuracy_figure,
        },
        choices=(
            "The upper limits are not stated: those of section 6.4. Time is that of the flow "
            "of the batch mean, as in the library described in chapter 6, and 64 times that "
            "of the per-sample flow. The optimiser is not stated: Adam, as in the library's "
            "example for this network. Networks are SP without skips or biases."
        ),
    ),
)
