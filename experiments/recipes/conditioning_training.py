"""Thesis chapter 5: the conditioning of inference during training."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pccore
from experiments.accuracy import accuracy_curves
from experiments.activity_conditioning import KAPPA, VARIANTS, geometric_mean
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Setting
from experiments.settings import ACTIVATIONS, runs_of, stack, steps_of
from pccore.theory import ActivityConditioning

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

AUTHORS_BETAS = (0.5, 0.1, 0.05)


class Kind(NamedTuple):
    """One line of the figures.

    Attributes:
        network: a name in `activity_conditioning.VARIANTS`.
        scheme: inference of activities: "gd", "adam", or gradient descent with "one" step or
            "depth" (T = H) steps.
        eta: weight learning rate.
        betas: activity learning rates; None for those of the setting.
    """

    network: str
    scheme: str = "gd"
    eta: float = 1e-3
    betas: tuple[float, ...] | None = None


KINDS = {
    "sp": Kind("sp"),
    "sp adam": Kind("sp", "adam", betas=AUTHORS_BETAS),
    "sp with skips": Kind("sp with skips"),
    "orthogonal": Kind("orthogonal"),
    "mupc": Kind("mupc", "depth", 0.1, (0.5, 10.0)),
    "mupc one step": Kind("mupc", "one", 0.1, (0.5, 10.0)),
}


class Sizes(NamedTuple):
    """Sizes that distinguish the scales."""

    width: int
    T: int
    steps: int
    every: int
    betas: tuple[float, ...]


SMALL = Sizes(width=32, T=100, steps=300, every=20, betas=(2.5,))
FULL = Sizes(width=128, T=500, steps=steps_of("mnist", 1), every=30, betas=AUTHORS_BETAS)


def scheme(name: str, depth: int, T: int) -> pccore.InferenceScheme:
    """Return the inference scheme that a `Kind` names."""
    if name == "adam":
        return pccore.ActivityOptimiser(T)
    if name == "gd":
        return pccore.ToConvergence(T)
    return pccore.GradientDescent(1 if name == "one" else depth)


def training(
    data_dir: Path | None, dataset: str, cases: Iterable[tuple[str, str, int]], sizes: Sizes
) -> "list[Run]":
    """Return networks measured during training, by kind, activation and depth."""
    found = []
    for variant, phi, depth in cases:
        kind = KINDS[variant]
        network = stack(dataset, sizes.width, depth, activation=phi, **VARIANTS[kind.network])
        config = pccore.TrainingConfig(
            network,
            pccore.PredictiveCoding(scheme(kind.scheme, depth, sizes.T)),
            steps=sizes.steps,
            eval_every=sizes.every,
            probes=(ActivityConditioning(),),
        )
        betas = kind.betas or sizes.betas
        found += runs_of(
            dataset, variant, config, data_dir, weight_lrs=[kind.eta], activity_lrs=betas
        )
    return found


def small(data_dir: Path | None) -> "list[Run]":
    """Return the smallest set of shapes at which every claim can fail."""
    plain = [*(("sp", phi, 8) for phi in ACTIVATIONS), ("sp", "linear", 16), ("sp", "tanh", 16)]
    others = [
        ("sp adam", "linear", 8),
        ("sp with skips", "linear", 8),
        ("orthogonal", "linear", 8),
        ("orthogonal", "tanh", 8),
        ("mupc", "tanh", 8),
        ("mupc one step", "tanh", 8),
    ]
    fashion = [("sp", phi, 8) for phi in ACTIVATIONS]
    return [
        *training(data_dir, "mnist", plain + others, SMALL),
        *training(data_dir, "fashion_mnist", fashion, SMALL),
    ]


def full(data_dir: Path | None) -> "list[Run]":
    cases = [(k, phi, depth) for k in KINDS for phi in ACTIVATIONS for depth in (8, 16, 32)]
    return [
        run for name in ("mnist", "fashion_mnist") for run in training(data_dir, name, cases, FULL)
    ]


# claims read kappa along the runs with the best beta


def tuned(evidence: Evidence, **where: object) -> "pd.DataFrame":
    """Return the runs with the beta of highest mean test accuracy, by kind, activation and depth.

    A diverged run counts as chance.
    """
    runs = evidence.trained(**where)
    runs = runs.assign(accuracy=runs["test_accuracy"].fillna(0.1))
    case = ["dataset", "variant", "activation", "depth"]
    means = runs.groupby([*case, "activity_lr"])["accuracy"].transform("mean")
    best = means.groupby([runs[name] for name in case]).transform("max")
    return runs[means == best].drop_duplicates([*case, "seed"])


def courses(evidence: Evidence, **where: object) -> "pd.DataFrame":
    """Return kappa of the tuned runs during training, with each run's final accuracy."""
    runs = tuned(evidence, **where)
    kappa = evidence.measured(KAPPA)
    found = kappa[kappa["run_id"].isin(runs["run_id"])].copy()
    found["accuracy"] = found["run_id"].map(runs.set_index("run_id")["accuracy"]).astype(float)
    return found.sort_values("step")


def growth(evidence: Evidence, **where: object) -> "pd.Series":
    """Return final kappa over initial kappa, by activation and depth, as a mean over seeds.

    The last finite value counts as the final one of a diverged run.
    """
    rows = courses(evidence, **where).dropna(subset=["value"])
    groups = rows.groupby(["activation", "depth", "run_id"])["value"]
    return (groups.last() / groups.first()).groupby(["activation", "depth"]).agg(geometric_mean)


def _entries(growths: "pd.Series") -> list[tuple[str, int, float]]:
    """Return activation, depth and factor of each entry."""
    return list(growths.reset_index().itertuples(index=False, name=None))


def grows(
    evidence: Evidence, dataset: str, variant: str, activations: tuple[str, ...], *, to: float = 2
) -> Judged | None:
    """Judge that kappa ends at least `to` times as high as it began, wherever it was measured."""
    found = growth(evidence, dataset=dataset, variant=variant)
    if not set(activations) <= set(found.index.get_level_values("activation")):
        return None
    found = found[list(activations)]
    words = ", ".join(f"{phi} H = {depth} x{by:.2g}" for phi, depth, by in _entries(found))
    return Judged(words, bool((found >= to).all()))


def deeper_is_worse(evidence: Evidence) -> Judged | None:
    rows = courses(evidence, dataset="mnist", variant="sp")
    last = rows.groupby(["activation", "depth"])["value"].agg(lambda v: v.dropna().iloc[-3:].mean())
    words, holds = [], True
    for phi, by_depth in last.groupby("activation"):
        if len(by_depth) > 1:
            words.append(f"{phi} {by_depth.iloc[0]:.3g} to {by_depth.iloc[-1]:.3g}")
            holds &= bool(by_depth.iloc[-1] > by_depth.iloc[0])
    if not words:
        return None
    return Judged("at the end " + ", ".join(words), holds)


def spikes(evidence: Evidence, variant: str) -> Judged | None:
    """Judge that some run has a spike: a kappa at least twice as high as a later one."""
    rows = courses(evidence, dataset="mnist", variant=variant).dropna(subset=["value"])
    if not len(rows):
        return None
    falls = [float((own.cummax() / own).max()) for _, own in rows.groupby("run_id")["value"]]
    spiked = sum(fall >= 2 for fall in falls)
    return Judged(f"{spiked} of {len(falls)} runs, the highest x{max(falls):.2g}", spiked > 0)


def against_sp(evidence: Evidence, variant: str) -> "pd.DataFrame | None":
    """Return kappa (geometric mean during training) and accuracy at H = 8, by activation."""
    parts = {}
    for name in (variant, "sp"):
        rows = courses(evidence, dataset="mnist", variant=name, depth=8).dropna(subset=["value"])
        groups = rows.groupby("activation")
        parts[name] = groups.agg(kappa=("value", geometric_mean), accuracy=("accuracy", "mean"))
    if not len(parts[variant]) or not len(parts["sp"]):
        return None
    return parts[variant].merge(parts["sp"], on="activation", suffixes=("", "_sp"))


def skips_are_worse_conditioned(evidence: Evidence) -> Judged | None:
    found = against_sp(evidence, "sp with skips")
    if found is None:
        return None
    ratio = found["kappa"] / found["kappa_sp"]
    words = ", ".join(f"{phi} x{by:.2g}" for phi, by in ratio.items())
    return Judged(words, bool((ratio >= 10).all()))


def accuracies(found: "pd.DataFrame") -> str:
    return ", ".join(
        f"{phi} {100 * row['accuracy']:.1f}% against {100 * row['accuracy_sp']:.1f}%"
        for phi, row in found.iterrows()
    )


def skips_keep_accuracy(evidence: Evidence) -> Judged | None:
    found = against_sp(evidence, "sp with skips")
    if found is None:
        return None
    return Judged(accuracies(found), bool((found["accuracy"] >= found["accuracy_sp"] - 0.01).all()))


def adam_is_worse_conditioned(evidence: Evidence) -> Judged | None:
    found = against_sp(evidence, "sp adam")
    if found is None:
        return None
    ratio = found["kappa"] / found["kappa_sp"]
    words = ", ".join(f"{phi} x{by:.2g}" for phi, by in ratio.items())
    return Judged(words, bool((ratio > 1).all()))


def adam_is_less_accurate(evidence: Evidence) -> Judged | None:
    found = against_sp(evidence, "sp adam")
    if found is None:
        return None
    return Judged(accuracies(found), bool((found["accuracy"] < found["accuracy_sp"] - 0.01).all()))


def linear_orthogonal_is_stable(evidence: Evidence) -> Judged | None:
    found = growth(evidence, dataset="mnist", variant="orthogonal", activation="linear")
    if not len(found):
        return None
    words = ", ".join(f"H = {depth} x{by:.2g}" for _, depth, by in _entries(found))
    return Judged(words, bool((found <= 2).all()))


def one_step_is_less_accurate(evidence: Evidence) -> Judged | None:
    means: dict[str, float] = {}
    for variant in ("mupc", "mupc one step"):
        runs = tuned(evidence, dataset="mnist", variant=variant, activation="tanh")
        if not len(runs):
            return None
        means[variant] = 100 * float(runs.groupby("depth")["accuracy"].mean().iloc[-1])
    one, many = means["mupc one step"], means["mupc"]
    return Judged(f"{one:.1f}%, with T = H {many:.1f}%", one < many - 1)


def along_training(evidence: Evidence, dataset: str, variant: str) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        courses(evidence, dataset=dataset, variant=variant),
        Axis("step", "weight updates"),
        Axis("value", "condition number", log=True),
        "depth",
        "activation",
        ordered=True,
        title=f"{variant}, {dataset}",
    )


def accuracy_along_training(evidence: Evidence, dataset: str, variant: str) -> "Figure":
    runs = tuned(evidence, dataset=dataset, variant=variant)
    curves = evidence.curves[evidence.curves["run_id"].isin(runs["run_id"])]
    return accuracy_curves(curves, "depth", "activation", ordered=True)


FIGURES = {
    "sp": ("5.3", "c.23"),
    "sp adam": ("c.8", "c.24"),
    "sp with skips": ("c.9", "c.25"),
    "orthogonal": ("c.13", "c.26"),
    "mupc one step": ("c.14", "c.27"),
    "mupc": ("c.28", "c.29"),
}


def _figures() -> "Iterator[tuple[str, Callable[[Evidence], Figure]]]":
    """Yield both rows of every figure, condition numbers and accuracies, by file name."""
    for variant, numbers in FIGURES.items():
        for number, dataset in zip(numbers, ("mnist", "fashion_mnist"), strict=True):
            name = f"fig-{number}-{variant.replace(' ', '-')}-{dataset}"
            yield name, partial(along_training, dataset=dataset, variant=variant)
            yield (
                f"{name}-accuracy",
                partial(accuracy_along_training, dataset=dataset, variant=variant),
            )


CLAIMS = (
    Claim(
        "conditioning worsens as SP networks train",
        "T fig. 5.3",
        "kappa grows for every activation and depth",
        "at least 2-fold from first to last",
        lambda evidence: grows(evidence, "mnist", "sp", ACTIVATIONS),
    ),
    Claim(
        "conditioning worsens on Fashion-MNIST too",
        "T fig. C.23",
        "kappa grows for every activation and depth",
        "at least 2-fold from first to last",
        lambda evidence: grows(evidence, "fashion_mnist", "sp", ACTIVATIONS),
    ),
    Claim(
        "deeper networks are worse conditioned while they train",
        "T fig. 5.3",
        "kappa at the end rises with H",
        "any rise, every activation measured at several depths",
        deeper_is_worse,
    ),
    Claim(
        "the condition number spikes during training",
        "T5.4.1, fig. 5.3",
        "kappa rises and falls again",
        "by a factor 2 in some run of SP",
        lambda evidence: spikes(evidence, "sp"),
    ),
    Claim(
        "skip connections make conditioning far worse during training too",
        "T C.3.1, fig. C.9",
        "kappa far above that without skips",
        "at least 10-fold, mean along training, H = 8",
        skips_are_worse_conditioned,
    ),
    Claim(
        "networks with skips perform at least as well despite worse conditioning",
        "T C.3.1, fig. C.9",
        "accuracy with skips at least that without",
        "1 point, H = 8",
        skips_keep_accuracy,
    ),
    Claim(
        "inference by Adam makes the landscape more ill-conditioned than descent",
        "T C.3.1, fig. C.8",
        "kappa above that of descent",
        "any rise, mean along training, H = 8",
        adam_is_worse_conditioned,
    ),
    Claim(
        "inference by Adam performs worse than descent",
        "T C.3.1, fig. C.8",
        "significantly lower accuracy",
        "more than 1 point lower, H = 8",
        adam_is_less_accurate,
    ),
    Claim(
        "the conditioning of linear networks with orthogonal weights does not grow",
        "T C.3.4, fig. C.13",
        "the same kappa at the end",
        "at most 2-fold",
        linear_orthogonal_is_stable,
    ),
    Claim(
        "the conditioning of nonlinear networks with orthogonal weights grows",
        "T C.3.4, fig. C.13",
        "kappa grows",
        "at least 2-fold, tanh",
        lambda evidence: grows(evidence, "mnist", "orthogonal", ("tanh",)),
    ),
    Claim(
        "the conditioning of muPC with one inference step grows like the others'",
        "T C.3.5, fig. C.14",
        "kappa grows",
        "at least 2-fold, tanh",
        lambda evidence: grows(evidence, "mnist", "mupc one step", ("tanh",)),
    ),
    Claim(
        "the conditioning of muPC with one inference step spikes like the others'",
        "T C.3.5, fig. C.14",
        "kappa rises and falls again",
        "by a factor 2 in some run",
        lambda evidence: spikes(evidence, "mupc one step"),
    ),
    Claim(
        "muPC with one inference step performs worse than with T = H",
        "T C.3.5, fig. C.14",
        "lower accuracy",
        "more than 1 point lower, tanh, at the greatest depth",
        one_step_is_less_accurate,
    ),
)

CONDITIONING_TRAINING = (
    Recipe(
        name="conditioning-training",
        title="conditioning worsens and spikes as networks train",
        source="T5.4.1, figs. 5.3, C.8, C.9, C.13, C.14, C.23 to C.29",
        small=Setting(
            "N = 32, H = 8 and for SP 16, 300 steps of B = 64 on MNIST, SP also on Fashion-MNIST, "
            "eta 1e-3, beta 2.5, T up to 100, 3 seeds; muPC with eta 0.1, beta 0.5 and 10",
            small,
            datasets=("mnist", "fashion_mnist"),
        ),
        full=Setting(
            "N = 128, H = 8, 16, 32, one epoch of B = 64 on MNIST and Fashion-MNIST, eta 1e-3, "
            "beta 0.5, 0.1, 0.05, T up to 500, 3 seeds; muPC with eta 0.1, beta 0.5 and 10",
            full,
            datasets=("mnist", "fashion_mnist"),
        ),
        claims=CLAIMS,
        figures=dict(_figures()),
        choices="The thesis does not state the tolerance at which inference stops; here it is "
        "1e-3 of the first gradient. At small, beta T is the authors' 0.5 x 500 in a fifth of "
        "the steps. Every kind is judged at its beta of highest mean accuracy. Kappa is "
        "measured at the first sample's forward pass, in the thesis at inferred activities; "
        "the two agree for linear networks. C.14 and C.28 use the networks of fig. 5.1 with N "
        "= 512; here all have the same width.",
    ),
)
