"""Thesis chapter 5: accuracy of muPC, SP and BP by depth and width."""

from pathlib import Path
from typing import TYPE_CHECKING

import pccore
from jobs.reproduce.evidence import Evidence
from jobs.reproduce.recipe import Claim, Judged, Recipe, Setting
from jobs.reproduce.settings import SEEDS, runs_of, stack, steps_of

if TYPE_CHECKING:
    from results.figures.measured import Figure
    from transfer import Run

# eta and beta of each, tuned at 8 layers: by the thesis (C.4, C.31-C.32), by examples/mnist.yaml
AUTHORS = {"mupc": (0.1, 0.5), "sp": (0.01, 5.0), "bp": (0.01, None)}
OURS = {"mupc": (0.1, 10.0), "sp": (0.01, 5.0), "bp": (0.05, None)}


def rule(variant: str, steps: int) -> pccore.LearningRule:
    """Backpropagation, or predictive coding with so many steps of gradient descent."""
    if variant == "bp":
        return pccore.Backpropagation()
    return pccore.PredictiveCoding(pccore.GradientDescent(steps))


def by_depth(
    data_dir: Path | None,
    *,
    width: int,
    depths: tuple[int, ...],
    steps: int,
    rates: dict[str, tuple[float, float | None]],
) -> "list[Run]":
    """ReLU networks of every variant at every depth, with T = H."""
    found = []
    for depth in depths:
        for variant, (eta, beta) in rates.items():
            network = stack(
                "mnist", width, depth, parameterisation="sp" if variant == "sp" else "mupc"
            )
            config = pccore.TrainingConfig(network, rule(variant, depth), steps=steps)
            found += runs_of(
                "mnist", variant, config, data_dir, weight_lrs=[eta], activity_lrs=[beta]
            )
    return found


def accuracies(evidence: Evidence, variant: str, depth: int) -> "tuple[float, int] | None":
    """Mean final test accuracy over seeds, a diverged run counting as chance (0.1); seeds."""
    runs = evidence.trained(variant=variant, depth=depth)
    if len(runs) < len(SEEDS):
        return None
    return float(runs["test_accuracy"].fillna(0.1).mean()), len(runs)


def deepest(evidence: Evidence) -> int:
    """The greatest depth that was run; 0 if none was."""
    return int(evidence.runs["depth"].max()) if len(evidence.runs) else 0


def mupc_learns_deep(evidence: Evidence) -> Judged | None:
    depth = deepest(evidence)
    found = accuracies(evidence, "mupc", depth)
    if found is None:
        return None
    return Judged(f"{100 * found[0]:.1f}% at H = {depth}, {found[1]} seeds", found[0] >= 0.7)


def sp_stays_at_chance(evidence: Evidence) -> Judged | None:
    depth = deepest(evidence)
    found = accuracies(evidence, "sp", depth)
    if found is None:
        return None
    return Judged(f"{100 * found[0]:.1f}% at H = {depth}, {found[1]} seeds", found[0] <= 0.2)


def accuracy_by_depth(evidence: Evidence) -> "Figure":
    from results.figures.measured import Axis, lines

    percent = evidence.runs.assign(percent=100 * evidence.runs["test_accuracy"].fillna(0.1))
    return lines(
        percent,
        Axis("depth", "H, hidden layers", log=True),
        Axis("percent", "test accuracy, %", limits=(0, 100)),
        "variant",
    )


DEPTH = (
    Recipe(
        name="depth",
        title="muPC trains 128 layers, SP does not",
        source="T5.6, figs. 5.1, C.16",
        small=Setting(
            "MNIST, ReLU, N = 64, H = 8, 32, 64, 300 steps of B = 64, T = H, 3 seeds, at the rates "
            "tuned at 8 layers",
            lambda data_dir: by_depth(
                data_dir, width=64, depths=(8, 32, 64), steps=300, rates=OURS
            ),
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, ReLU, N = 512, H = 8 to 128, one epoch of B = 64, T = H, 3 seeds",
            lambda data_dir: by_depth(
                data_dir,
                width=512,
                depths=(8, 16, 32, 64, 128),
                steps=steps_of("mnist", 1),
                rates=AUTHORS,
            ),
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "muPC trains its deepest networks",
                "T fig. 5.1",
                "accuracy well above chance",
                "at least 70%",
                mupc_learns_deep,
            ),
            Claim(
                "standard PC stays at chance in them",
                "T fig. 5.1",
                "10%",
                "at most 20%",
                sp_stays_at_chance,
            ),
        ),
        figures={"fig-5.1-depth": accuracy_by_depth},
    ),
)
