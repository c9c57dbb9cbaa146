"""Thesis C.3.6: standard PC with exact inference trains deep networks that do not generalise."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import pccore
from experiments.accuracy import accuracy, extremes, judged
from experiments.evidence import Evidence
from experiments.intervals import Interval
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import runs_of, stack, steps_of

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

ETA = 0.001
UNTRAINED = "untrained"


def linear_networks(
    data_dir: Path | None, *, depths: tuple[int, ...], steps: int, eval_every: int
) -> "list[Run]":
    """Return linear residual SP networks with N = 128: untrained, and trained at equilibrium."""
    rule = pccore.PredictiveCoding(pccore.ExactSolution())
    found = []
    for depth in depths:
        network = stack("mnist", 128, depth, activation="linear", parameterisation="sp")
        for variant, updates in (("sp", steps), (UNTRAINED, 0)):
            config = pccore.TrainingConfig(network, rule, steps=updates, eval_every=eval_every)
            found += runs_of("mnist", variant, config, data_dir, weight_lrs=[ETA])
    return found


def losses_fall(evidence: Evidence, column: str) -> Judged | None:
    """Judge that the loss falls at every depth, and rises in no interval between evaluations.

    A rise counts if the 95% interval of its mean over seeds, of log losses, lies above 0. A
    diverged run fails the claim, since the mean of the remaining runs would hide it.
    """
    curves = evidence.curves
    if extremes(evidence, "depth") is None or not len(curves):
        return None
    parts, holds = [], True
    for depth, runs in evidence.trained(variant="sp").groupby("depth"):
        diverged = int((runs["outcome"] == "diverged").sum())
        if diverged:
            parts.append(f"H = {depth}: {diverged} of {len(runs)} diverged")
            holds = False
            continue
        rows = curves[curves["run_id"].isin(runs["run_id"])]
        loss = rows.pivot_table(index="step", columns="seed", values=column).apply(np.log)
        rises = [Interval.of(row).above(0) is True for row in loss.diff().iloc[1:].to_numpy()]
        holds &= not any(rises) and bool((loss.iloc[-1] < loss.iloc[0]).all())
        means = rows.groupby("step")[column].mean()
        parts.append(
            f"H = {depth}: {means.iloc[0]:.3g} to {means.iloc[-1]:.3g}, {sum(rises)} of "
            f"{len(rises)} changes rise"
        )
    return Judged("; ".join(parts), holds)


def training_loss_falls(evidence: Evidence) -> Judged | None:
    return losses_fall(evidence, "train_loss")


def test_loss_falls(evidence: Evidence) -> Judged | None:
    return losses_fall(evidence, "test_loss")


def test_loss_starts_higher(evidence: Evidence) -> Judged | None:
    curves = evidence.curves
    if not len(curves):
        return None
    starts = curves[curves["variant"] == UNTRAINED].groupby("depth")["test_loss"].mean()
    if len(starts) < 2:
        return None
    text = ", ".join(f"H = {depth}: {loss:.3g}" for depth, loss in starts.items())
    rises = bool(starts.is_monotonic_increasing)
    return Judged(text, rises and starts.iloc[-1] >= 10 * starts.iloc[0])


def deepest_at_chance(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    found = accuracy(evidence, variant="sp", depth=ends[1])
    return judged([(f"H = {ends[1]}", found, found is not None and found <= 20)])


def curves_of(evidence: Evidence, column: str, label: str) -> "Figure":
    from experiments.figures.measured import Axis, lines

    curves = evidence.curves
    if len(curves):
        curves = curves[curves["variant"] == "sp"]
    return lines(
        curves,
        Axis("step", "weight updates"),
        Axis(column, label, log=column != "test_accuracy"),
        "depth",
        ordered=True,
    )


EXACT_INFERENCE = (
    Recipe(
        name="exact-inference",
        title="SP at the exact equilibrium trains but does not generalise at depth",
        source="T C.3.6, fig. C.15",
        small=Setting(
            "MNIST, linear, SP, N = 128, H = 8, 16, 32, exact inference, Adam at 1e-3, 400 steps "
            "of B = 64, 3 seeds",
            lambda data_dir: linear_networks(
                data_dir, depths=(8, 16, 32), steps=400, eval_every=50
            ),
            datasets=("mnist",),
        ),
        full=Setting(
            "the same with H = 4 as well, for one epoch",
            lambda data_dir: linear_networks(
                data_dir, depths=(4, 8, 16, 32), steps=steps_of("mnist", 1), eval_every=50
            ),
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "the training loss falls at every depth",
                "T C.3.6, fig. C.15",
                "monotonic",
                "no rise between evaluations whose interval over seeds lies above 0",
                training_loss_falls,
            ),
            Claim(
                "the test loss falls at every depth",
                "T C.3.6, fig. C.15",
                "monotonic",
                "no rise between evaluations whose interval over seeds lies above 0",
                test_loss_falls,
            ),
            Claim(
                "the test loss starts much higher in deeper networks",
                "T C.3.6, fig. C.15",
                "rises with H",
                "at every step of H, tenfold in all",
                test_loss_starts_higher,
            ),
            Claim(
                "the deepest networks stay at chance on the test set",
                "T C.3.6, fig. C.15",
                "10%",
                "at most 20%",
                deepest_at_chance,
            ),
        ),
        figures={
            "fig-C.15-training-loss": lambda e: curves_of(e, "train_loss", "training loss"),
            "fig-C.15-test-loss": lambda e: curves_of(e, "test_loss", "test loss"),
            "fig-C.15-accuracy": lambda e: curves_of(e, "test_accuracy", "test accuracy"),
        },
        choices="The thesis names only the deepest network, H = 32; here also 8 and 16 (and "
        "4). The duration is not stated: one epoch, as in fig. 5.1. Runs end only at NaN or "
        "infinity: at H = 32 the loss begins near 4,000 and rises 1,000-fold within 20 updates.",
    ),
)
