"""Thesis C.3.3: activity decay makes inference well conditioned and ruins performance."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pccore
from experiments.activity_conditioning import (
    KAPPA,
    POWERS,
    SMALLEST,
    VARIANTS,
    maps,
    spectra,
)
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, runs_of, stack, steps_of
from pccore.theory import ActivityConditioning

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

DECAYS = (0.0, 0.01, 0.1, 1.0)


def decayed(data_dir: Path | None, *, width: int, steps: int, T: int, beta: float) -> "list[Run]":
    """Return linear networks of 8 layers, trained with increasing activity decay."""
    found = []
    for alpha in DECAYS:
        network = stack(
            "mnist", width, 8, activation="linear", activity_decay=alpha, **VARIANTS["sp"]
        )
        rule = pccore.PredictiveCoding(pccore.GradientDescent(T))
        config = pccore.TrainingConfig(network, rule, steps=steps, eval_every=max(1, steps // 6))
        found += runs_of(
            "mnist", f"decay {alpha:g}", config, data_dir, weight_lrs=[1e-3], activity_lrs=[beta]
        )
    return found


def decayed_grid(
    data_dir: Path | None, widths: tuple[int, ...], depths: tuple[int, ...]
) -> "list[Run]":
    """Return networks of every activation with unit decay, measured without training."""
    found = []
    for phi, width, depth in itertools.product(ACTIVATIONS, widths, depths):
        network = stack("mnist", width, depth, activation=phi, activity_decay=1.0, **VARIANTS["sp"])
        config = pccore.TrainingConfig(
            network, pccore.Backpropagation(), steps=0, probes=(ActivityConditioning(),)
        )
        found += runs_of("mnist", "sp", config, data_dir)
    return found


def decay_bounds(evidence: Evidence) -> Judged | None:
    rows = evidence.measured(SMALLEST, activation="linear")
    if not len(rows):
        return None
    least = float(rows["value"].min())
    return Judged(f"smallest {least:.4f} of {len(rows)} networks", least >= 1 - 1e-3)


def decay_conditions(evidence: Evidence) -> Judged | None:
    rows = evidence.measured(KAPPA)
    if not len(rows):
        return None
    greatest = float(rows["value"].max())
    return Judged(f"kappa at most {greatest:.2f} in {len(rows)} networks", greatest <= 10)


def decay_untrainable(evidence: Evidence) -> Judged | None:
    """Judge the best accuracy of every run, as in the figure; without one it counts as chance."""
    if not len(evidence.curves):
        return None
    best = evidence.curves.groupby(["variant", "seed"])["test_accuracy"].max().fillna(0.1)
    means = best.groupby("variant").mean()
    if any(f"decay {alpha:g}" not in means for alpha in DECAYS):
        return None
    percent = {alpha: 100 * float(means[f"decay {alpha:g}"]) for alpha in DECAYS}
    words = ", ".join(f"{p:.0f}% at {alpha:g}" for alpha, p in percent.items())
    return Judged(words, percent[0.0] >= 50 and all(percent[a] <= 20 for a in DECAYS[1:]))


def accuracy_by_decay(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    best = evidence.curves.groupby(["variant", "seed"], as_index=False)["test_accuracy"].max()
    alpha = best["variant"].str.removeprefix("decay ").astype(float)
    return lines(
        best.assign(alpha=alpha, percent=100 * best["test_accuracy"].fillna(0.1)),
        Axis("alpha", "activity decay"),
        Axis("percent", "best test accuracy, %", limits=(0, 100)),
    )


ACTIVITY_DECAY = (
    Recipe(
        name="activity-decay",
        title="activity decay makes inference well conditioned but ruins performance",
        source="T C.3.3, fig. C.12",
        small=Setting(
            "untrained SP networks with unit decay, N and H of 2, 8 and 32, dense; linear N = "
            "128, H = 8 on MNIST, decay 0 to 1, 300 steps of B = 64, eta 1e-3, beta 2.5, T = 100",
            lambda data_dir: decayed(data_dir, width=128, steps=300, T=100, beta=2.5),
            calculate=lambda data_dir: spectra(data_dir, ("sp",), activity_decay=1.0),
            datasets=("mnist",),
            seconds=20,
        ),
        full=Setting(
            "the same by products with the Hessian, N and H of 2 to 128; linear N = 128, H = 8, "
            "one epoch, beta 0.5 and T = 500",
            lambda data_dir: [
                *decayed_grid(data_dir, POWERS, POWERS),
                *decayed(data_dir, width=128, steps=steps_of("mnist", 1), T=500, beta=0.5),
            ],
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "unit decay bounds the smallest eigenvalue at one",
                "T C.3.3",
                "at least 1",
                "linear networks, 1e-3",
                decay_bounds,
            ),
            Claim(
                "unit decay makes inference well-conditioned at any size",
                "T fig. C.12",
                "kappa of order 1: 27/4 + 1 for large N and H",
                "at most 10, every activation",
                decay_conditions,
            ),
            Claim(
                "networks with any degree of decay are untrainable",
                "T fig. C.12",
                "accuracy at chance with every decay, above it without",
                "at most 20% with, at least 50% without",
                decay_untrainable,
            ),
        ),
        figures={
            "fig-c.12-decay-conditioning": lambda evidence: maps(evidence, ("sp",), 3),
            "fig-c.12-decay-accuracy": accuracy_by_decay,
        },
        choices="C.12 gives neither learning rates nor decay strengths. The rates are those "
        "of C.4's experiments on conditioning during training, which use the same networks; "
        "the strengths are powers of ten. At small, beta T is the authors' 0.5 x 500 in a "
        "fifth of the steps.",
    ),
)
