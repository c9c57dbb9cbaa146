"""Thesis eqs. 2.1 and 5.1: whether the activation comes after the weights or before them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.recipes.saddle_escape import CHOICES, escape, setting_of, trained
from pccore.networks.stacked import ORDERS, WEIGHTS_FIRST

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

NONLINEAR = ("tanh", "relu")


def in_both_orders(data_dir: Path | None, **options: Any) -> "list[Run]":
    """Return PC and BP from near the origin in both orders."""
    return [
        run
        for order in ORDERS
        for run in trained(
            data_dir,
            "origin",
            datasets=("mnist",),
            activations=NONLINEAR,
            order=order,
            **options,
        )
    ]


def steps_to_escape(evidence: Evidence, variant: str, activation: str) -> "pd.Series | None":
    """Return the steps of every seed; infinite without an escape, None without several seeds."""
    import pandas as pd

    curves = evidence.curves
    if curves.empty:
        return None
    curves = curves[(curves["variant"] == variant) & (curves["activation"] == activation)]
    if curves["seed"].nunique() < 2:
        return None
    found = {
        seed: escape(curve.sort_values("step")) or float("inf")
        for seed, curve in curves.groupby("seed")
    }
    return pd.Series(found)


def pc_escapes_sooner(evidence: Evidence) -> Judged | None:
    """Judge the slowest seed of PC against all steps of BP, or fewer if it escaped."""
    parts, holds = [], True
    for activation in NONLINEAR:
        pc, bp = (
            steps_to_escape(evidence, f"{rule} {WEIGHTS_FIRST}", activation)
            for rule in ("pc", "bp")
        )
        if pc is None or bp is None:
            return None
        horizon = float(evidence.curves["step"].max())
        theirs = bp.clip(upper=horizon)
        stuck = int((bp > horizon).sum())
        parts.append(
            f"{activation} {pc.min():.0f} to {pc.max():.0f} steps, BP not in {horizon:.0f} in "
            f"{stuck} of {len(bp)}"
        )
        holds &= bool((pc <= 0.5 * theirs).all())
    return Judged("; ".join(parts), holds)


def ratio(activation: str, evidence: Evidence) -> tuple[str, float] | None:
    """Return the steps in both orders, and PC's with the weights first over those without."""
    usual, other = (
        steps_to_escape(evidence, variant, activation) for variant in ("pc", f"pc {WEIGHTS_FIRST}")
    )
    if usual is None or other is None:
        return None
    found = float(other.mean() / usual.mean())
    return f"{other.mean():.0f} against {usual.mean():.0f} steps, x{found:.2f}", found


def tanh_does_not_care(evidence: Evidence) -> Judged | None:
    """Judge the ratio of mean steps."""
    found = ratio("tanh", evidence)
    return None if found is None else Judged(found[0], abs(found[1] - 1) <= 0.1)


def relu_does(evidence: Evidence) -> Judged | None:
    """Judge the ratio of mean steps."""
    found = ratio("relu", evidence)
    return None if found is None else Judged(found[0], found[1] >= 1.5)


def losses(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        evidence.curves,
        Axis("step", "training step"),
        Axis("train_loss", "training loss"),
        "variant",
        "activation",
    )


def setting(*, full: bool) -> Setting:
    text, options = setting_of(full=full)
    return Setting(
        f"MNIST, tanh and ReLU, the activation before the weights and after them, {text}",
        partial(in_both_orders, **options),
        datasets=("mnist",),
    )


ORDER = (
    Recipe(
        name="order",
        title="escape from the origin with the activation after the weights",
        source="T eqs. 2.1, 5.1, section 4.5",
        small=setting(full=False),
        full=setting(full=True),
        claims=(
            Claim(
                "PC escapes the origin substantially faster than BP with the weights first too",
                "T eq. 2.1, fig. 4.5",
                "tanh and ReLU",
                "at most half the steps to 95% of the first loss, every seed",
                pc_escapes_sooner,
            ),
            Claim(
                "the order makes no difference to a tanh network near the origin",
                "ours",
                "PC escapes in the same number of steps",
                "10%, mean over seeds",
                tanh_does_not_care,
            ),
            Claim(
                "a ReLU network with the weights first stays longer",
                "ours",
                "more steps of PC",
                "at least 1.5 times, mean over seeds",
                relu_does,
            ),
        ),
        figures={"order-of-activation": losses},
        choices="Chapters 2 to 4 and 6 write phi(W z), chapter 5 W phi(z); the other recipes have "
        "the latter. Linear networks are the same in both. Near the origin tanh is the identity; "
        "with ReLU after the weights errors do not pass the inactive half of the units. Our two "
        "claims were worded after a first measurement. " + CHOICES,
    ),
)
