"""Thesis chapter 5: forward passes by depth, and the four desiderata."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pccore
from experiments.activity_conditioning import KAPPA, VARIANTS, geometric_mean
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import ACTIVATIONS, SEEDS, batch, runs_of, stack, steps_of
from pccore.theory import ActivityConditioning
from pccore.theory.desiderata import CONDITION_NUMBER, FACTOR, ForwardNorms, forward_norms

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

FOUR = ("sp", "sp with skips", "orthogonal", "mupc")
# eta and beta: muPC's as in examples/mnist-descent.yaml at 8 layers; the others from C.4 and there
RATES = {"mupc": (0.1, 10.0)} | dict.fromkeys(("sp", "sp with skips", "orthogonal"), (1e-3, 5.0))


def forward_passes(data_dir: Path | None, width: int, depths: tuple[int, ...]) -> Iterator[Row]:
    """Yield RMS activities of every hidden layer of untrained networks, on 64 MNIST samples."""
    import jax

    x, _ = batch("mnist", data_dir)

    def measure(config: pccore.NetworkConfig, seeds: jax.Array) -> jax.Array:
        return jax.vmap(
            lambda seed: forward_norms(config.build(jax.random.key(seed)), jax.numpy.asarray(x))
        )(seeds)

    compiled = jax.jit(measure, static_argnums=0)
    for variant, phi, depth in itertools.product(FOUR, ACTIVATIONS, depths):
        options = {"activation": phi, **VARIANTS[variant]}
        norms = compiled(stack("mnist", width, depth, **options), jax.numpy.array(SEEDS))
        known = {"variant": variant, "dataset": "mnist", "width": width, "depth": depth, **options}
        known |= {"quantity": "forward_rms", "batch_size": 64, "source": "thesis fig. C.30"}
        for seed, own in zip(SEEDS, norms.tolist(), strict=True):
            for layer, norm in enumerate(own, start=1):
                yield {**known, "seed": seed, "layer": layer, "value": norm}


def last_layers(evidence: Evidence) -> "pd.DataFrame":
    """Return the RMS activity of the last hidden layer."""
    rows = evidence.measured("forward_rms")
    return rows[rows["layer"] == rows["depth"]]


def change(evidence: Evidence, variant: str, activation: str) -> "float | None":
    """Return the last layer's activity at the greatest depth over that at the least depth."""
    rows = last_layers(evidence)
    rows = rows[(rows["variant"] == variant) & (rows["activation"] == activation)]
    means = rows.groupby("depth")["value"].mean()
    return None if len(means) < 2 else float(means.iloc[-1] / means.iloc[0])


def changes(
    evidence: Evidence, variant: str, activations: tuple[str, ...], low: float, high: float
) -> Judged | None:
    """Judge that the change over depths lies between two factors for every activation."""
    found = {phi: change(evidence, variant, phi) for phi in activations}
    words, holds = [], True
    for phi, factor in found.items():
        if factor is None:
            return None
        words.append(f"{phi} x{factor:.2g}")
        holds &= low <= factor <= high
    return Judged(", ".join(words), holds)


def norms_by_depth(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        last_layers(evidence),
        Axis("depth", "H, hidden layers", log=True),
        Axis("value", "RMS activity, last hidden layer", log=True),
        "variant",
        "activation",
    )


# the four desiderata


def judged_networks(
    data_dir: Path | None, shapes: tuple[tuple[int, int], ...], steps: int
) -> "list[Run]":
    """Return linear networks of every parameterisation, measured during training with T = H."""
    found = []
    for (width, depth), variant in itertools.product(shapes, FOUR):
        config = pccore.TrainingConfig(
            stack("mnist", width, depth, activation="linear", **VARIANTS[variant]),
            pccore.PredictiveCoding(pccore.GradientDescent(depth)),
            steps=steps,
            eval_every=max(1, steps // 6),
            probes=(ForwardNorms(), ActivityConditioning()),
        )
        eta, beta = RATES[variant]
        found += runs_of("mnist", variant, config, data_dir, weight_lrs=[eta], activity_lrs=[beta])
    return found


def departure(evidence: Evidence, variant: str) -> "pd.Series | None":
    """Return the largest initial factor between a layer's RMS activity and the input's (one).

    A geometric mean over seeds, by depth; None before two sizes have been run.
    """
    high = _initial(evidence, "forward_rms_max", variant)
    low = _initial(evidence, "forward_rms_min", variant)
    if len(high) < 2 or len(low) < 2:
        return None
    return high.where(high > 1 / low, 1 / low)


def condition_numbers(evidence: Evidence, variant: str) -> "pd.Series | None":
    """Return kappa at initialisation, by depth; None before two sizes have been run."""
    found = _initial(evidence, KAPPA, variant)
    return None if len(found) < 2 else found


def _initial(evidence: Evidence, quantity: str, variant: str) -> "pd.Series":
    rows = evidence.measured(quantity, variant=variant, step=0)
    return rows.groupby("depth")["value"].agg(geometric_mean)


def stable_at_first(evidence: Evidence, variants: tuple[str, ...], expected: bool) -> Judged | None:
    """Judge desideratum 1 in the deepest networks."""
    words, holds = [], True
    for variant in variants:
        found = departure(evidence, variant)
        if found is None:
            return None
        words.append(f"{variant} x{found.iloc[-1]:.3g} at H = {found.index[-1]}")
        holds &= bool(found.iloc[-1] <= FACTOR) == expected
    return Judged(", ".join(words), holds)


def ill_conditioned(evidence: Evidence) -> Judged | None:
    """Judge desideratum 3: kappa is neither small nor the same at both sizes."""
    words, holds = [], True
    for variant in ("orthogonal", "mupc"):
        found = condition_numbers(evidence, variant)
        if found is None:
            return None
        words.append(f"{variant} {found.iloc[0]:.3g} to {found.iloc[-1]:.3g}")
        holds &= bool(found.iloc[-1] > CONDITION_NUMBER and found.iloc[-1] > FACTOR * found.iloc[0])
    return Judged(", ".join(words), holds)


def trade_off(evidence: Evidence) -> Judged | None:
    """Judge that no parameterisation has both properties in the deepest networks."""
    words, both = [], []
    for variant in FOUR:
        forward, kappa = departure(evidence, variant), condition_numbers(evidence, variant)
        if forward is None or kappa is None:
            return None
        met = (forward.iloc[-1] <= FACTOR, kappa.iloc[-1] <= CONDITION_NUMBER)
        words.append(f"{variant} {' and '.join('no' if not m else 'yes' for m in met)}")
        both.append(all(met))
    return Judged("desiderata 1 and 3: " + ", ".join(words), not any(both))


def conditioning_drifts(evidence: Evidence) -> Judged | None:
    """Judge desideratum 4 for SP by the largest change of kappa at any later step."""
    rows = evidence.measured(KAPPA, variant="sp")
    first = rows[rows["step"] == 0].set_index("run_id")["value"]
    later = rows[rows["step"] > 0]
    if not len(later):
        return None
    ratio = later["value"] / later["run_id"].map(first)
    worst = float(ratio.where(ratio > 1, 1 / ratio).groupby(later["depth"]).max().iloc[-1])
    return Judged(f"by up to x{worst:.2g} in training", worst > FACTOR)


def in_training(evidence: Evidence, quantity: str, text: str) -> "Figure":
    from experiments.figures.measured import Axis, lines

    return lines(
        evidence.measured(quantity),
        Axis("step", "weight updates"),
        Axis("value", text, log=True),
        "variant",
        "depth",
    )


FORWARD_NORMS = Recipe(
    name="forward-norms",
    title="forward passes vanish, explode or stay constant with depth",
    source="T5.4.2, fig. C.30",
    small=Setting(
        "RMS activities of untrained networks, N = 256, H = 4, 16, 64, 64 samples of MNIST, 3 "
        "seeds",
        calculate=lambda data_dir: forward_passes(data_dir, 256, (4, 16, 64)),
        datasets=("mnist",),
        seconds=40,
    ),
    full=Setting(
        "the same, N = 1024, H of 4 to 128",
        calculate=lambda data_dir: forward_passes(data_dir, 1024, (4, 8, 16, 32, 64, 128)),
        datasets=("mnist",),
        seconds=600,
    ),
    claims=(
        Claim(
            "the forward pass of SP without skips vanishes with depth",
            "T5.4.2",
            "activities fall steeply with H",
            "at least 10-fold, every activation",
            lambda evidence: changes(evidence, "sp", ACTIVATIONS, 0, 0.1),
        ),
        Claim(
            "the forward pass of SP with skips explodes with depth",
            "T5.4.2, fig. C.30",
            "activities rise steeply with H",
            "at least 10-fold, every activation",
            lambda evidence: changes(evidence, "sp with skips", ACTIVATIONS, 10, float("inf")),
        ),
        Claim(
            "the forward pass of muPC is stable with depth",
            "T fig. C.30",
            "the same activities at every H",
            "within a factor 2, every activation",
            lambda evidence: changes(evidence, "mupc", ACTIVATIONS, 0.5, 2),
        ),
        Claim(
            "orthogonal weights keep the forward pass stable with depth in linear and tanh "
            "networks",
            "T fig. C.30",
            "the same activities at every H",
            "within a factor 2",
            lambda evidence: changes(evidence, "orthogonal", ("linear", "tanh"), 0.5, 2),
        ),
        Claim(
            "orthogonal weights do not keep it stable in ReLU networks",
            "T fig. 5.4, C.30",
            "activities fall with H",
            "at least 10-fold",
            lambda evidence: changes(evidence, "orthogonal", ("relu",), 0, 0.1),
        ),
    ),
    figures={"fig-c.30-forward-norms": norms_by_depth},
    choices="C.30 plots the mean l1 norm; here it is the root mean square per unit. The two "
    "differ by a constant for activities of one distribution, and the latter does not depend "
    "on N.",
)

DESIDERATA = Recipe(
    name="desiderata",
    title="no parameterisation meets all four desiderata",
    source="T5.5",
    small=Setting(
        "linear networks on MNIST, N = 32, H = 8 and N = 64, H = 32, 180 steps of B = 64, T = H, "
        "3 seeds",
        lambda data_dir: judged_networks(data_dir, ((32, 8), (64, 32)), 180),
        datasets=("mnist",),
    ),
    full=Setting(
        "linear networks on MNIST, N = 128, H = 8 and N = 512, H = 128, one epoch, T = H, 3 seeds",
        lambda data_dir: judged_networks(data_dir, ((128, 8), (512, 128)), steps_of("mnist", 1)),
        datasets=("mnist",),
    ),
    claims=(
        Claim(
            "orthogonal and muPC networks meet desideratum 1, a stable forward pass",
            "T5.5",
            "activities of the order of the input's at every layer",
            f"within a factor {FACTOR:g} in the deepest networks",
            lambda evidence: stable_at_first(evidence, ("orthogonal", "mupc"), expected=True),
        ),
        Claim(
            "SP meets desideratum 1 neither without nor with skips",
            "T5.4.2",
            "activities vanish or explode",
            f"by more than a factor {FACTOR:g} in the deepest networks",
            lambda evidence: stable_at_first(evidence, ("sp", "sp with skips"), expected=False),
        ),
        Claim(
            "neither orthogonal nor muPC networks meet desideratum 3, stable conditioning",
            "T5.5, fig. 5.4",
            "kappa rises with size",
            f"above {CONDITION_NUMBER:g} and {FACTOR:g}-fold from one size to the other",
            ill_conditioned,
        ),
        Claim(
            "a stable forward pass and good conditioning trade off",
            "T5.5",
            "no parameterisation has both",
            f"thresholds {FACTOR:g} and {CONDITION_NUMBER:g} in the deepest networks",
            trade_off,
        ),
        Claim(
            "SP does not meet desideratum 4, stable conditioning in training",
            "T5.4.1, 5.5",
            "kappa changes in training",
            f"by more than a factor {FACTOR:g} in the deepest networks",
            conditioning_drifts,
        ),
    ),
    figures={
        "t5.5-conditioning-in-training": lambda evidence: in_training(
            evidence, KAPPA, "condition number"
        ),
        "t5.5-forward-pass-in-training": lambda evidence: in_training(
            evidence, "forward_rms_last", "RMS activity, last hidden layer"
        ),
    },
    choices="The thesis states orders of magnitude; the thresholds are those of "
    "`pccore.theory.desiderata`. Networks are linear, as in its theory. The thesis does not "
    "settle whether muPC meets desideratum 2: the figure shows it, no claim is judged.",
)

FORWARD_PASS = (FORWARD_NORMS, DESIDERATA)
