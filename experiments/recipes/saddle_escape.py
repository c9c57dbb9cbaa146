"""Thesis section 4.5: the time that descent spends near saddles, on the loss and on the energy."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, SEEDS, runs_of, stack
from pccore.networks.stacked import ACTIVATION_FIRST
from pccore.theory.weight_gradients import WeightGradientNorm

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

DEPTH, STD, BATCH = 4, 5e-3, 64
ESCAPED = 0.95
"""A saddle counts as escaped once the training loss is this part of its initial value."""
NETWORK = ["dataset", "activation", "seed"]


def near(saddle: str, width: int) -> float | tuple[float, ...]:
    """Return the spread of initial weights near the origin, or near figs. B.3's and B.6's saddle.

    At that saddle W_{L-1} is as SP draws it (in variance), and all others are near zero.
    """
    if saddle == "origin":
        return STD
    return (*(STD,) * (DEPTH - 1), (3 * width) ** -0.5, STD)


def trained(
    data_dir: Path | None,
    saddle: str,
    *,
    datasets: tuple[str, ...],
    width: int,
    steps: int,
    eval_every: int,
    weight_lr: float,
    beta: float,
    inference_steps: int,
    seeds: tuple[int, ...],
    activations: tuple[str, ...] = ACTIVATIONS,
    order: str = ACTIVATION_FIRST,
) -> "list[Run]":
    """Return both rules on every data set and activation; beta is per sample, B times smaller.

    Variants are "pc" and "bp", and "pc weights_first" and "bp weights_first" in that order.
    """
    rules: dict[str, tuple[pccore.LearningRule, float | None]] = {
        "pc": (pccore.PredictiveCoding(pccore.GradientDescent(inference_steps)), beta * BATCH),
        "bp": (pccore.Backpropagation(), None),
    }
    found = []
    for dataset in datasets:
        for activation in activations:
            network = stack(
                dataset,
                width,
                DEPTH,
                activation=activation,
                residual=False,
                parameterisation="sp",
                initial_std=near(saddle, width),
                order=order,
            )
            for variant, (rule, activity_lr) in rules.items():
                config = pccore.TrainingConfig(
                    network,
                    rule,
                    pccore.SGD(),
                    BATCH,
                    steps,
                    eval_every,
                    probes=(WeightGradientNorm(rule),),
                )
                found += runs_of(
                    dataset,
                    variant if order == ACTIVATION_FIRST else f"{variant} {order}",
                    config,
                    data_dir,
                    weight_lrs=[weight_lr],
                    activity_lrs=[activity_lr],
                    seeds=seeds,
                )
    return found


def networks(evidence: Evidence) -> "list[tuple[str, pd.DataFrame, pd.DataFrame]]":
    """Return name, PC's curves and BP's curves of every network that both rules have trained."""
    found = []
    for name, curves in evidence.curves.groupby(NETWORK):
        by_rule = dict(list(curves.sort_values("step").groupby("variant")))
        if by_rule.keys() == {"pc", "bp"}:
            found.append((" ".join(map(str, name[:2])), by_rule["pc"], by_rule["bp"]))
    return found


def complete(evidence: Evidence) -> bool:
    """Return whether both rules have trained every activation."""
    trained = set(zip(evidence.runs["variant"], evidence.runs["activation"], strict=True))
    return trained == set(product(("bp", "pc"), ACTIVATIONS))


def escape(curve: "pd.DataFrame") -> float | None:
    """Return the first evaluated step at which the saddle has been escaped."""
    left = curve[curve["train_loss"] < ESCAPED * curve["train_loss"].iloc[0]]
    return None if left.empty else float(left["step"].iloc[0])


def of_seeds(evidence: Evidence, holds: bool) -> bool | None:
    """Return a result, or None for one that holds in a single seed."""
    return holds if evidence.runs["seed"].nunique() > 1 or not holds else None


def pc_escapes_sooner(evidence: Evidence) -> Judged | None:
    """Judge steps to escape; BP without an escape counts with all its steps, in its favour."""
    if not complete(evidence):
        return None
    ratios: dict[str, list[float]] = {}
    stuck = 0
    for name, pc, bp in networks(evidence):
        mine, theirs = escape(pc), escape(bp)
        stuck += theirs is None
        ratios.setdefault(name, []).append(
            float("inf") if mine is None else mine / (theirs or float(bp["step"].max()))
        )
    worst = {name: max(values) for name, values in ratios.items()}
    slowest = max(worst, key=worst.__getitem__)
    total = sum(len(values) for values in ratios.values())
    measured = (
        f"at most {100 * worst[slowest]:.0f}% of BP's steps ({slowest}); BP had not escaped at the "
        f"end in {stuck} of {total}"
    )
    return Judged(measured, of_seeds(evidence, worst[slowest] <= 0.5))


def pc_gradients_do_not_vanish(evidence: Evidence) -> Judged | None:
    """Judge gradients at every evaluated step until PC has escaped."""
    if not complete(evidence):
        return None
    norms = evidence.measured("weight_gradient_norm")
    table = norms.pivot_table(index=[*NETWORK, "step"], columns="variant", values="value")
    least: dict[str, float] = {}
    for name, own in table.reset_index().groupby(NETWORK):
        pc = evidence.curves
        for column, value in zip(NETWORK, name, strict=True):
            pc = pc[pc[column] == value]
        end = escape(pc[pc["variant"] == "pc"].sort_values("step"))
        until = own if end is None else own[own["step"] <= end]
        least[" ".join(map(str, name[:2]))] = float((until["pc"] / until["bp"]).min())
    smallest = min(least, key=least.__getitem__)
    measured = f"at least {least[smallest]:.3g} times those of BP before PC escapes ({smallest})"
    return Judged(measured, of_seeds(evidence, least[smallest] >= 10))


def pc_has_second_plateau(evidence: Evidence) -> Judged | None:
    """Judge that PC's test loss has a plateau after its first fall, and falls again after it.

    All evaluations use the same samples. The first fall is from 98% to 92% of the initial loss. The
    plateau lasts at least as long and changes the loss by less than 1%; at least 5% follow.
    """
    if not complete(evidence):
        return None
    found = [_second_plateau(pc) for _, pc, _ in networks(evidence)]
    measured = f"in {sum(found)} of {len(found)} networks"
    return Judged(measured, sum(found) > len(found) / 2)


def _second_plateau(curve: "pd.DataFrame") -> bool:
    loss = curve.set_index("step")["test_loss"]
    loss = loss / loss.iloc[0]
    begun, fallen = loss.index[loss < 0.98], loss.index[loss < 0.92]
    if not len(fallen):
        return False
    after = loss[loss.index >= fallen[0]]
    for start, level in after.items():
        moved = after.index[(after.index > start) & ((after - level).abs() > 0.01)]
        stays = (moved[0] if len(moved) else after.index[-1]) - start
        later = after[after.index > start + stays]
        if stays >= fallen[0] - begun[0] and len(later) and later.min() < level - 0.05:
            return True
    return False


def losses(evidence: Evidence) -> "Figure":
    return _by_network(evidence.curves, "train_loss", "training loss")


def gradients(evidence: Evidence) -> "Figure":
    rows = evidence.measured("weight_gradient_norm")
    return _by_network(rows, "value", "weight gradient norm", log=True)


def _by_network(rows: "pd.DataFrame", column: str, label: str, *, log: bool = False) -> "Figure":
    from experiments.figures.measured import Axis, lines

    names = [f"{row.dataset}, {row.activation}" for row in rows.itertuples()]
    return lines(
        rows.assign(network=names),
        Axis("step", "training step"),
        Axis(column, label, log=log),
        "variant",
        "network",
    )


def setting_of(*, full: bool, place: str = "the origin") -> tuple[str, dict[str, Any]]:
    """Return the text of a training near a saddle, and the arguments of `trained`."""
    if full:
        text = (
            f"H = 4, N = 500, sigma = 5e-3 from {place}, SGD at eta = 1e-3 for 100 epochs, T = 50 "
            "at 0.1 a step, 3 seeds"
        )
        options = {"width": 500, "steps": 93_700, "eval_every": 937, "weight_lr": 1e-3}
        return text, {**options, "beta": 0.1, "inference_steps": 50, "seeds": SEEDS}
    text = (
        f"H = 4, N = 64, sigma = 5e-3 from {place}, SGD at eta = 0.2 for 3000 steps, T = 20 at "
        "0.25 a step, 3 seeds"
    )
    options = {"width": 64, "steps": 3000, "eval_every": 25, "weight_lr": 0.2}
    return text, {**options, "beta": 0.25, "inference_steps": 20, "seeds": SEEDS}


def setting(saddle: str, *, full: bool) -> Setting:
    place = "the origin" if saddle == "origin" else "the saddle where only W_{L-1} is not zero"
    text, options = setting_of(full=full, place=place)
    both = full or saddle == "origin"
    datasets = ("mnist", "fashion_mnist") if both else ("mnist",)
    names = "MNIST and Fashion-MNIST" if full else " and ".join(datasets)
    return Setting(
        f"{names}, linear, tanh and ReLU, {text}",
        lambda data_dir: trained(data_dir, saddle, datasets=datasets, **options),
        datasets=datasets,
    )


def claims(figure: str, gradients: str) -> tuple[Claim, ...]:
    return (
        Claim(
            "PC escapes the saddle substantially faster than BP",
            figure,
            "every network",
            "at most half the steps to 95% of the first loss",
            pc_escapes_sooner,
        ),
        Claim(
            "the gradients of PC do not vanish near the saddle",
            gradients,
            "above those of BP",
            "10 times, until PC escapes",
            pc_gradients_do_not_vanish,
        ),
    )


CHOICES = (
    "sigma = 5e-3 is a standard deviation, as in T (as a variance, as in P, networks of 500 units "
    "would not start near a saddle). Inference steps of 0.1 are on the per-sample energy: beta = "
    "0.1 B. The training duration is not stated; at eta = 1e-3 the energy's curvature there, 0.1, "
    "takes 10,000 steps for a factor e. BP that has not escaped at the end counts with all its "
    "steps, which bounds the ratio from above; at `small` the horizon is five times what PC needs, "
    "so that the bound does not hang on it. CIFAR-10's convolutional "
    "networks are omitted because the ledger describes fully connected layers."
)


SADDLE_ESCAPE = (
    Recipe(
        name="saddle-escape",
        title="PC escapes the origin faster than BP",
        source="T4.5, figs. 4.5, B.5",
        small=setting("origin", full=False),
        full=setting("origin", full=True),
        claims=(
            *claims("T fig. 4.5", "T fig. B.5"),
            Claim(
                "the loss of PC has a second plateau, presumably a saddle of rank 1",
                "T 4.5",
                "in most networks",
                "more than half",
                pc_has_second_plateau,
            ),
        ),
        figures={"fig-4.5-saddle-escape": losses, "fig-B.5-gradient-norms": gradients},
        choices=CHOICES,
    ),
    Recipe(
        name="zero-rank-escape",
        title="PC escapes another zero-rank saddle faster than BP",
        source="T B.5, fig. B.6",
        small=setting("zero-rank", full=False),
        full=setting("zero-rank", full=True),
        claims=claims("T fig. B.6", "T 4.5"),
        figures={"fig-B.6-zero-rank-escape": losses},
        choices=CHOICES,
    ),
)
