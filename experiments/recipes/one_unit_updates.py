"""Thesis 3.4, A.2: directions of updates with one hidden unit, and weight noise at the end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments import one_unit_training as training
from experiments.evidence import Evidence
from experiments.intervals import Interval
from experiments.one_unit_training import RULES, WEIGHT_LR, row
from experiments.recipe import Claim, Judged, Recipe, Row, Setting

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from experiments.figures.measured import Figure

TRAINED = ("pc", "bp")
SEEDS = 10
MANY = 1000
"""Seeds at `small`; the verdicts of ten seeds depend on chance."""

STEPS = 400
DRAWS = 1000
"""Bootstrap samples of the seeds."""


def alignments(seeds: int) -> Iterator[Row]:
    """Yield cosines of the first five updates with the nearest solution and Newton's step."""
    import jax
    import jax.numpy as jnp

    from pccore.theory.near_critical import damped_newton
    from pccore.theory.one_unit import nearest_minimum

    chain = training.chain()

    def cosines(w: "jax.Array", gradient: "jax.Array") -> "tuple[jax.Array, jax.Array]":
        optimal = nearest_minimum(w, jnp.asarray(training.SLOPE)) - w
        newton = damped_newton(chain.loss_hessian(w), chain.loss_gradient(w), 2.0)
        length = jnp.linalg.norm
        return tuple(
            -gradient @ other / (length(gradient) * length(other)) for other in (optimal, newton)
        )

    for variant, rule in RULES.items():
        rate = 1.0 if variant == "trn" else WEIGHT_LR
        found = training.train(rule, seeds, 5, weight_lr=rate)
        both = jax.vmap(jax.vmap(cosines))(jnp.asarray(found.weights), jnp.asarray(found.gradients))
        for name, values in zip(("optimal", "newton"), both, strict=True):
            for seed in range(seeds):
                for step in range(5):
                    known = {"variant": variant, "seed": seed, "step": step}
                    yield row(f"cosine_with_{name}", values[seed, step], {}, **known)


def by_step(evidence: Evidence, variant: str, quantity: str, how: str) -> "np.ndarray":
    """Return the mean or standard deviation over seeds, at every step."""
    rows = evidence.measured(quantity, variant=variant)
    return rows.groupby("step")["value"].agg(how).to_numpy()


def closer_to_optimal(evidence: Evidence) -> Judged | None:
    pc, bp = (by_step(evidence, v, "cosine_with_optimal", "mean") for v in ("pc", "bp"))
    if not (len(pc) and len(bp)):
        return None
    measured = f"PC {pc.min():.2f} to {pc.max():.2f}, BP {bp.min():.2f} to {bp.max():.2f}"
    return Judged(measured, bool((pc > bp).all()))


def varies_less(evidence: Evidence) -> Judged | None:
    """Judge the standard deviation over seeds, mean of the batches, with a bootstrap interval."""
    import numpy as np

    cosines = {variant: by_seed(evidence, variant) for variant in TRAINED}
    if not all(len(table) for table in cosines.values()):
        return None
    draw = np.random.default_rng(0)
    seeds = len(cosines["pc"])

    def spread(variant: str, chosen: "np.ndarray") -> float:
        return float(cosines[variant][chosen].std(axis=0, ddof=1).mean())

    drawn = [draw.integers(seeds, size=seeds) for _ in range(DRAWS)]
    less = [spread("bp", chosen) - spread("pc", chosen) for chosen in drawn]
    low, high = np.quantile(less, (0.025, 0.975))
    pc, bp = (spread(variant, np.arange(seeds)) for variant in TRAINED)
    measured = (
        f"standard deviation over seeds: PC {pc:.2f}, BP {bp:.2f}, smaller by "
        f"{bp - pc:.3f} [{low:.3f}, {high:.3f}]"
    )
    return Judged(measured, Interval(bp - pc, float(low), float(high)).above(0))


def by_seed(evidence: Evidence, variant: str) -> "np.ndarray":
    """Return cosines with the optimal direction by seed and batch."""
    rows = evidence.measured("cosine_with_optimal", variant=variant)
    return rows.pivot_table(index="seed", columns="step", values="value").to_numpy()


def closer_to_newton(evidence: Evidence) -> Judged | None:
    """Judge which of two mean cosines with the optimum lies nearer Newton's, as fig. 3.2 plots."""
    pc, bp, newton = (
        by_step(evidence, variant, "cosine_with_optimal", "mean") for variant in ("pc", "bp", "trn")
    )
    if not (len(pc) and len(bp) and len(newton)):
        return None
    nearer = abs(newton - pc) < abs(newton - bp)
    measured = (
        f"distance from Newton's cosine, mean of batches: PC {abs(newton - pc).mean():.3f}, BP "
        f"{abs(newton - bp).mean():.3f}; PC nearer in {nearer.sum()} of {len(nearer)} batches"
    )
    return Judged(measured, bool(nearer.all()))


def alignment_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = evidence.measured("cosine_with_optimal")
    rows = rows.assign(batch=rows["step"] + 1)
    return lines(
        rows, Axis("batch", "training batch"), Axis("value", "cosine with the optimal direction"),
        "variant",
    )  # fmt: skip


UPDATE_ANGLE = Recipe(
    name="update-angle",
    title="PC's updates point closer to the nearest solution than BP's",
    source="T3.4, A.1.1, fig. 3.2",
    small=Setting(
        "one linear hidden unit, y = -x, first 5 batches of PC, BP and trust-region Newton "
        "(lambda = 2), 1000 seeds",
        calculate=lambda data_dir: alignments(MANY),
        seconds=5,
    ),
    full=Setting(
        "the same with the authors' 10 seeds",
        calculate=lambda data_dir: alignments(SEEDS),
        seconds=5,
    ),
    claims=(
        Claim(
            "PC's update is closer to the optimal direction than BP's",
            "T fig. 3.2",
            "higher mean cosine",
            "in each of 5 batches",
            closer_to_optimal,
        ),
        Claim(
            "the direction of PC's update varies less over seeds",
            "T 3.4",
            "smaller standard deviation over seeds",
            "mean of 5 batches, bootstrap interval over seeds",
            varies_less,
        ),
        Claim(
            "PC's update is closer to trust-region Newton's than BP's is",
            "T 3.5, fig. 3.2",
            "its mean cosine with the optimal direction lies nearer Newton's",
            "in each of 5 batches",
            closer_to_newton,
        ),
    ),
    figures={"fig-3.2-update-angle": alignment_figure},
    choices=(
        "Each algorithm is measured along its own training, Newton's with steps of 1. The "
        "batch's gradient is compared with the optimal direction of all samples. T 3.5 refers to "
        "fig. 3.2 for how close PC is to Newton's method, so the two are compared there, by their "
        "cosines with the optimum; cosines with Newton's step itself are measured too."
    ),
)


def perturbations(seeds: int) -> Iterator[Row]:
    """Yield final errors under weight noise, and the energy's rise over no noise."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    chain = training.chain()
    noise = jax.random.normal(jax.random.key(0), (2000, 2))

    @jax.jit
    def noisy_energy(w: "jax.Array", std: "jax.Array") -> "jax.Array":
        return jnp.mean(jax.vmap(chain.energy)(w + std * noise))

    for variant in TRAINED:
        found = training.train(RULES[variant], seeds, STEPS)
        ends = np.nan_to_num(found.first_below(training.SOLVED), nan=STEPS - 1).astype(int)
        for seed, end in enumerate(ends):
            w = jnp.asarray(found.weights[seed, end])
            known = {"variant": variant, "seed": seed, "step": int(end)}
            yield row("w_2", w[1], {}, **known)
            for std in (0.5, 0.5**0.5):
                error = 2 * chain.perturbed_loss(w, std)
                energy = noisy_energy(w, std)
                yield row("perturbed_mse", error, {"std": round(std, 3)}, **known)
                yield row("perturbed_energy", energy, {"std": round(std, 3)}, **known)


def perturbed(evidence: Evidence, quantity: str, std: float) -> "pd.DataFrame | None":
    """Return a row for each seed, a column for each variant."""
    rows = evidence.measured(quantity)
    if set(rows["variant"]) != set(TRAINED):
        return None
    rows = training.unfolded(rows)
    return rows[rows["std"] == std].pivot_table(index="seed", columns="variant", values="value")


def more_robust(evidence: Evidence) -> Judged | None:
    found = [perturbed(evidence, "perturbed_mse", std) for std in (0.5, 0.707)]
    there = [table for table in found if table is not None]
    if len(there) < len(found):
        return None
    less = there[0]["bp"] - there[0]["pc"]
    interval = Interval.of(less)
    measured = "; ".join(
        f"std {std}: PC {table['pc'].mean():.3f}, BP {table['bp'].mean():.3f}"
        for std, table in zip((0.5, 0.707), there, strict=True)
    )
    text = f"{measured}; smaller by {interval}, in {(less > 0).sum()} of {len(less)} seeds"
    return Judged(text, interval.above(0))


def own_objective_is_robust(evidence: Evidence) -> Judged | None:
    errors, energies = (
        perturbed(evidence, quantity, 0.5) for quantity in ("perturbed_mse", "perturbed_energy")
    )
    if errors is None or energies is None:
        return None
    loss, energy = float(errors["pc"].mean()) / 2, float(energies["pc"].mean())
    return Judged(f"energy {energy:.3f}, loss {loss:.3f}", energy < loss)


def perturbation_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = training.unfolded(evidence.measured("perturbed_mse"))
    return lines(
        rows, Axis("std", "standard deviation of the weights' noise"),
        Axis("value", "mean squared error"), "variant",
    )  # fmt: skip


PERTURBATION = Recipe(
    name="perturbation",
    title="weight noise at the end of training",
    source="T3.4, A.2, fig. A.2",
    small=Setting(
        "one linear hidden unit trained as in A.1.1 by PC and BP to a test loss of 0.001, "
        "1000 seeds, expected error under noise of standard deviation 0.5 and 0.71",
        calculate=lambda data_dir: perturbations(MANY),
        seconds=5,
    ),
    full=Setting(
        "the same with the authors' 10 seeds",
        calculate=lambda data_dir: perturbations(SEEDS),
        seconds=5,
    ),
    claims=(
        Claim(
            "weight noise harms a network trained by PC less",
            "T fig. A.2",
            "smaller mean squared error than BP's",
            "mean over seeds",
            more_robust,
        ),
        Claim(
            "at the same weights, noise raises PC's objective less than BP's",
            "T thm. A.2",
            "smaller",
            "mean over seeds",
            own_objective_is_robust,
        ),
    ),
    figures={"fig-A.2-perturbation": perturbation_figure},
    choices=(
        "N(0, 0.5) is read as a standard deviation and as a variance; the first is judged. "
        "The error is the exact mean over all noise instead of a mean over draws."
    ),
)

UPDATES = (UPDATE_ANGLE, PERTURBATION)
