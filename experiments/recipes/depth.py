"""Thesis 5.6: accuracy by depth of muPC, SP and BP, and of muPC with one inference step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.accuracy import (
    Rates,
    Training,
    accuracy,
    accuracy_curves,
    best_cells,
    classifiers,
    extremes,
    judged,
)
from experiments.evidence import Evidence
from experiments.learning_rates import AUTHORS, AUTHORS_BP, BETAS, ETAS, OUR_BETAS, OURS_BP
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, steps_of

if TYPE_CHECKING:
    from experiments.figures.measured import Figure
    from transfer import Run

FULL_DEPTHS = (8, 16, 32, 64, 128)
SMALL = 64, Training(steps=200, eval_every=50)
FULL = 512, Training(steps_of("mnist", 1), eval_every=300)
ONE = "mupc, one step"

Variants = Sequence[tuple[str, Rates]]


def by_depth(
    data_dir: Path | None,
    activation: str,
    depths: Sequence[int],
    variants: Variants,
    size: tuple[int, Training],
) -> "list[Run]":
    """Return every variant at every depth, at one width, on MNIST."""
    width, training = size
    found = []
    for depth in depths:
        for variant, rates in variants:
            found += classifiers(
                "mnist", variant, (width, depth), rates, training, data_dir, activation=activation
            )
    return found


def with_one_step(size: tuple[int, Training]) -> tuple[int, Training]:
    """Return the same networks with one inference step."""
    width, training = size
    return width, replace(training, inference_steps=1)


def small_depths(data_dir: Path | None) -> "list[Run]":
    found = []
    for activation, depths in (("relu", (8, 32, 64)), ("tanh", (8, 64)), ("linear", (8, 64))):
        bp = OURS_BP[activation]
        variants: Variants = [
            ("mupc", ([0.1], OUR_BETAS)),
            ("sp", ([0.01], [5])),
            ("sp", ([0.001], [1])),
            ("bp", ([bp], [None])),
        ]
        found += by_depth(data_dir, activation, depths, variants, SMALL)
    return found


def full_depths(data_dir: Path | None) -> "list[Run]":
    found = []
    for activation in ACTIVATIONS:
        eta, beta = AUTHORS[activation]
        variants: Variants = [
            ("mupc", ([eta], [beta])),
            ("sp", (ETAS, BETAS)),
            ("bp", ([AUTHORS_BP[activation]], [None])),
        ]
        found += by_depth(data_dir, activation, FULL_DEPTHS, variants, FULL)
    return found


def small_one_step(data_dir: Path | None) -> "list[Run]":
    many = by_depth(data_dir, "relu", (8, 32, 64), [("mupc", ([0.1], OUR_BETAS))], SMALL)
    single: Variants = [(ONE, ([0.1], (5, 50, 500)))]
    return many + by_depth(data_dir, "relu", (8, 32, 64), single, with_one_step(SMALL))


def full_one_step(data_dir: Path | None) -> "list[Run]":
    eta, beta = AUTHORS["relu"]
    many = by_depth(data_dir, "relu", FULL_DEPTHS, [("mupc", ([eta], [beta]))], FULL)
    single: Variants = [(ONE, (ETAS, BETAS))]
    return many + by_depth(data_dir, "relu", FULL_DEPTHS, single, with_one_step(FULL))


def mupc_trains_at_every_depth(evidence: Evidence) -> Judged | None:
    """Judge the least accurate depth of every activation."""
    if extremes(evidence, "depth") is None:
        return None
    numbers = []
    for activation in ACTIVATIONS:
        runs = best_cells(evidence.trained(variant="mupc", activation=activation))
        least = float(runs.groupby("depth")["percent"].mean().min()) if len(runs) else None
        numbers.append((f"{activation} at least", least, least is not None and least >= 70))
    return judged(numbers)


def sp_stays_at_chance(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    found = {a: accuracy(evidence, variant="sp", activation=a, depth=ends[1]) for a in ACTIVATIONS}
    return judged((a, number, number is not None and number <= 20) for a, number in found.items())


def mupc_is_comparable_with_bp(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    numbers = []
    for activation in ACTIVATIONS:
        where = {"activation": activation, "depth": ends[1]}
        mupc, bp = (accuracy(evidence, variant=variant, **where) for variant in ("mupc", "bp"))
        lag = None if mupc is None or bp is None else bp - mupc
        numbers.append((f"{activation} behind by", lag, lag is not None and lag <= 5))
    return judged(numbers, " points")


def one_step_is_worse(evidence: Evidence) -> Judged | None:
    numbers = []
    for depth in sorted(evidence.runs["depth"].unique()):
        many, one = (accuracy(evidence, variant=name, depth=depth) for name in ("mupc", ONE))
        lag = None if many is None or one is None else many - one
        numbers.append((f"H = {depth} by", lag, lag is not None and lag > 0))
    return judged(numbers, " points")


def one_step_degrades_with_depth(evidence: Evidence) -> Judged | None:
    ends = extremes(evidence, "depth")
    if ends is None:
        return None
    shallow, deep = (accuracy(evidence, variant=ONE, depth=depth) for depth in ends)
    falls = shallow is not None and deep is not None and deep <= shallow - 5
    return judged([(f"H = {ends[0]}", shallow, falls), (f"H = {ends[1]}", deep, falls)])


def accuracy_by_depth(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        best_cells(evidence.runs),
        Axis("depth", "H, hidden layers", log=True),
        Axis("percent", "test accuracy, %", limits=(0, 100)),
        "variant",
        "activation",
    )


def accuracy_by_step(evidence: Evidence) -> "Figure":
    """Draw accuracy during training of ReLU networks, as on the right of fig. 5.1."""
    curves, best = evidence.curves, best_cells(evidence.trained(activation="relu"))
    if len(curves):
        curves = curves[curves["run_id"].isin(best["run_id"])]
    return accuracy_curves(curves, "depth", "variant", ordered=True)


DEPTH = (
    Recipe(
        name="depth",
        title="muPC trains deep networks, SP does not",
        source="T5.6, figs. 5.1, C.16",
        small=Setting(
            "MNIST, N = 64, H = 8, 64 (ReLU also 32), linear, tanh and ReLU, 200 steps of B = 64, "
            "T = H, 3 seeds; best of two cells of muPC and of SP, BP at the rate tuned at 8 layers",
            small_depths,
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, N = 512, H = 8 to 128, linear, tanh and ReLU, one epoch of B = 64, T = H, 3 "
            "seeds; muPC and BP at the authors' optima, SP over their grid at every depth",
            full_depths,
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "muPC trains at every depth with every activation",
                "T figs. 5.1, C.16",
                "accuracy well above chance",
                "at least 70% at every depth",
                mupc_trains_at_every_depth,
            ),
            Claim(
                "standard PC stays at chance in the deepest networks",
                "T figs. 5.1, C.16",
                "10%",
                "at most 20%",
                sp_stays_at_chance,
                "Linear and ReLU networks are at chance. Tanh networks, whose activities are "
                "bounded, are not: 50% at H = 64, 41% at H = 128, and 64% at H = 64 after a "
                "whole epoch (one seed each, N = 64). They are still far behind muPC (84%). N "
                "= 512 was not run.",
            ),
            Claim(
                "muPC is comparable with BP in the deepest networks",
                "T figs. 5.1, C.16",
                "as accurate",
                "at most 5 points behind",
                mupc_is_comparable_with_bp,
                "The small width is the cause for ReLU: at H = 32 muPC is 7 points behind at "
                "N = 64 but ahead at N = 256, with 92.7% against BP's 92.0% (one seed). Short "
                "training is not the cause: a whole epoch at N = 64, H = 64 gives 87.7% "
                "against 94.2%. Linear networks also stay behind over an epoch (76.6% against "
                "85.5%); wider ones were not run.",
            ),
        ),
        figures={"fig-C.16-depth": accuracy_by_depth, "fig-5.1-training": accuracy_by_step},
        choices="SP uses the most accurate learning rates at each depth, so its failure is "
        "not due to tuning. Diverged runs count as chance. The thesis calls muPC competitive "
        "without a number; the tolerance is 5 points.",
    ),
    Recipe(
        name="one-inference-step",
        title="one inference step performs worse, increasingly with depth",
        source="T C.3.5, fig. C.14",
        small=Setting(
            "MNIST, ReLU, N = 64, H = 8, 32, 64, 200 steps of B = 64, T = H and T = 1, 3 seeds, "
            "best of two values of beta for T = H and of three for T = 1",
            small_one_step,
            datasets=("mnist",),
        ),
        full=Setting(
            "MNIST, ReLU, N = 512, H = 8 to 128, one epoch of B = 64, 3 seeds, T = H at the "
            "authors' optimum and T = 1 over their grid",
            full_one_step,
            datasets=("mnist",),
        ),
        claims=(
            Claim(
                "one inference step is less accurate than T = H",
                "T C.3.5, fig. C.14",
                "less accurate at every depth",
                "by any amount",
                one_step_is_worse,
            ),
            Claim(
                "with one inference step accuracy degrades with depth",
                "T C.3.5, fig. C.14",
                "falls from the shallowest to the deepest",
                "by at least 5 points",
                one_step_degrades_with_depth,
                "Accuracy falls with depth, but by 2 points instead of 5. A whole epoch gives "
                "86.5, 85.5, 84.6, 83.6% at H = 8, 32, 64, 128 (N = 64, two seeds): the trend "
                "exists but is small. Only the last two weight matrices learn, from the "
                "features of random residual layers.",
            ),
        ),
        figures={"fig-C.14-one-step": accuracy_by_depth},
        choices="From a forward start one step moves only the last hidden layer, so only the "
        "last two weight matrices learn. The condition numbers of fig. C.14 are in the "
        "conditioning recipes.",
    ),
)
