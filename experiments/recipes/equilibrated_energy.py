"""Thesis section 4.4.1: the energy at the end of inference against its closed form."""

from pathlib import Path
from typing import TYPE_CHECKING

import pccore
from experiments.energies import energies, plain_linear
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import SEEDS, runs_of, steps_of
from pccore.theory.numerical_energy import NumericalEnergy

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

DEPTHS = (2, 5, 10)
ROW = ("dataset", "depth", "seed", "step")
BATCH = 64
FLOW = pccore.AdaptiveFlow(time=300.0, rtol=1e-3, atol=1e-3)
SAMPLE_TIME = float(BATCH)
"""The beta at which time is that of the per-sample flow, dz_i/dt = -dF_i/dz_i."""


def trained(
    data_dir: Path | None,
    *,
    datasets: tuple[str, ...],
    width: int,
    steps: int,
    eval_every: int,
    inference: pccore.InferenceScheme,
    seeds: tuple[int, ...],
) -> "list[Run]":
    """Return linear networks without skips, trained at equilibrium and measured during training."""
    found = []
    for dataset in datasets:
        for depth in DEPTHS:
            network = plain_linear(dataset, width, depth)
            config = pccore.TrainingConfig(
                network,
                pccore.PredictiveCoding(inference),
                pccore.SGD(),
                BATCH,
                steps,
                eval_every,
                probes=(NumericalEnergy(FLOW),),
            )
            found += runs_of(
                dataset,
                "pc",
                config,
                data_dir,
                weight_lrs=[1e-3],
                activity_lrs=[SAMPLE_TIME],
                seeds=seeds,
            )
    return found


def complete(table: "pd.DataFrame") -> bool:
    """Return whether every depth was run, and measured beyond its first step."""
    return len(table) > 0 and set(table["depth"]) == set(DEPTHS) and table["step"].max() > 0


def numerical_energy_matches_theory(evidence: Evidence) -> Judged | None:
    table = energies(evidence, ROW)
    if not complete(table):
        return None
    table = table.assign(error=(table["numerical"] / table["theory"] - 1).abs())
    worst = table.nlargest(1, "error").iloc[0]
    measured = (
        f"largest deviation {100 * worst['error']:.2g}%, at H = {worst['depth']} on "
        f"{worst['dataset']}, of {len(table)} energies"
    )
    return Judged(measured, bool((table["error"] <= 0.01).all()))


def energy_changes_in_training(evidence: Evidence) -> Judged | None:
    """Judge that training lowers the energy; else the match would only cover initial weights."""
    table = energies(evidence, ROW)
    if not complete(table):
        return None
    runs = table.sort_values("step").groupby(["dataset", "depth", "seed"])["theory"]
    left = runs.last() / runs.first()
    by_depth = left.groupby("depth").mean()
    parts = ", ".join(f"{100 * (1 - by_depth[H]):.0f}% at H = {H}" for H in DEPTHS)
    return Judged(f"falls by {parts}", bool((left < 1).all()))


def energy_by_step(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    table = energies(evidence, ROW)
    return lines(
        table,
        Axis("step", "training step"),
        Axis("numerical", "energy at the end of inference"),
        "depth",
        "dataset",
        ordered=True,
        dashed="theory",
        title="Numerical energy (lines) and eq. 4.5 (dashes), by H",
    )


EQUILIBRATED_ENERGY = (
    Recipe(
        name="equilibrated-energy",
        title="the energy at the end of inference is a rescaled loss",
        source="T4.4.1, fig. 4.1",
        small=Setting(
            "MNIST and Fashion-MNIST, linear, N = 64, H = 2, 5, 10, 300 steps of SGD at the exact "
            "equilibrium, energies by Heun's flow to T = 300 at every 30th, 1 seed",
            lambda data_dir: trained(
                data_dir,
                datasets=("mnist", "fashion_mnist"),
                width=64,
                steps=300,
                eval_every=30,
                inference=pccore.ExactSolution(),
                seeds=(0,),
            ),
            datasets=("mnist", "fashion_mnist"),
        ),
        full=Setting(
            "MNIST, Fashion-MNIST and CIFAR-10, linear, N = 300, H = 2, 5, 10, an epoch of SGD at "
            "eta = 1e-3, inference by Heun's flow to T = 300, energies at every step, 3 seeds",
            lambda data_dir: [
                run
                for dataset in ("mnist", "fashion_mnist", "cifar10")
                for run in trained(
                    data_dir,
                    datasets=(dataset,),
                    width=300,
                    steps=steps_of(dataset, 1, BATCH),
                    eval_every=1,
                    inference=FLOW,
                    seeds=SEEDS,
                )
            ],
            datasets=("mnist", "fashion_mnist", "cifar10"),
        ),
        claims=(
            Claim(
                "the energy at the numerical equilibrium is eq. 4.5's throughout training",
                "T fig. 4.1",
                "equal",
                "1% at every step measured",
                numerical_energy_matches_theory,
            ),
            Claim(
                "training lowers the equilibrated energy at every depth",
                "T fig. 4.1",
                "lower at the end than at first",
                "none",
                energy_changes_in_training,
            ),
        ),
        figures={"fig-4.1-equilibrated-energy": energy_by_step},
        choices=(
            "T = 300 is the time of the per-sample flow (beta = B). In the flow of the batch "
            "mean, which is B times slower, inference would stop too early. The thesis does "
            "not state the training duration (here one epoch), the loss scale (here eq. 4.1) "
            "or the initial weights (here SP without skips)."
        ),
    ),
)
