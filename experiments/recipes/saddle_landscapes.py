"""Thesis section 4.4.2: both landscapes of toy networks around the origin, and descent from it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pccore
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from pccore.inference.base import norm
from pccore.theory.landscape import equilibrated_energy_of, loss_of
from pccore.theory.origin import OriginHessian

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

BATCH, BETA = 64, 0.1
SEEDS = (0, 1, 2, 3, 4)
ESCAPED = 0.5
"""A saddle counts as escaped once the loss is this part of its initial value."""


class Toy(NamedTuple):
    """A linear network for y = -x, x ~ N(1, 0.1), and its training (B.4)."""

    size: int
    width: int
    depth: int
    std: float
    weight_lr: float
    inference_steps: int
    steps: int
    every: int
    extent: float

    @property
    def network(self) -> pccore.NetworkConfig:
        return pccore.NetworkConfig(
            self.size,
            self.size,
            self.width,
            self.depth,
            activation="linear",
            residual=False,
            parameterisation="sp",
            initial_std=self.std,
        )


def toys(steps: int) -> dict[str, Toy]:
    return {
        "chain, H = 1": Toy(1, 1, 1, 5e-2, 0.4, 20, 400, 1, 1.0),
        "chain, H = 2": Toy(1, 1, 2, 5e-2, 0.4, 20, 400, 1, 2.0),
        "wide, H = 2": Toy(3, 10, 2, 1e-1, 1e-3, 50, steps, 20, 1.0),
    }


def samples(size: int, key: Array) -> tuple[Array, Array]:
    x = 1 + 0.1 * jax.random.normal(key, (BATCH, size))
    return x, -x


@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.vmap, in_axes=(None, None, 0))
def descend(toy: Toy, rule: pccore.LearningRule, seed: Array) -> tuple[Array, Array]:
    """Return losses and gradient norms of SGD at regular steps, seeds in parallel."""
    key = jax.random.key(seed)

    def step(network: Any, number: Array) -> tuple[Any, tuple[Array, Array]]:
        own = jax.random.fold_in(key, number + 1)
        beta = jnp.asarray(BETA * BATCH)
        loss, gradients = rule.gradients(network, *samples(toy.size, own), beta, own)
        moved = jax.tree.map(lambda W, g: W - toy.weight_lr * g, network, gradients)
        return moved, (loss, norm(gradients))

    _, found = jax.lax.scan(step, toy.network.build(key), jnp.arange(toy.steps))
    return found[0][:: toy.every], found[1][:: toy.every]


def calculate(_: Path | None, *, steps: int) -> Iterator[Row]:
    for name, toy in toys(steps).items():
        where = {"dataset": name, "width": toy.width, "depth": toy.depth}
        yield from _landscapes(toy, where)
        for variant, rule in (
            ("bp", pccore.Backpropagation()),
            ("pc", pccore.PredictiveCoding(pccore.GradientDescent(toy.inference_steps))),
        ):
            records = descend(toy, rule, jnp.array(SEEDS, jnp.uint32))
            for quantity, lanes in zip(
                ("train_loss", "weight_gradient_norm"), map(np.asarray, records), strict=True
            ):
                for (lane, place), value in np.ndenumerate(lanes):
                    yield {
                        "quantity": quantity,
                        "value": float(value),
                        "variant": variant,
                        "seed": SEEDS[lane],
                        "step": place * toy.every,
                        "weight_lr": toy.weight_lr,
                        **where,
                    }


def _landscapes(toy: Toy, where: Row) -> Iterator[Row]:
    """Yield both landscapes and curvatures on the plane of the energy's extreme eigenvectors."""
    x, y = samples(toy.size, jax.random.key(0))
    hidden = [toy.width] * toy.depth
    origin = OriginHessian.of_energy(x, y, hidden)
    low, high = origin.escape(), origin.steepest()
    theory = {"bp": OriginHessian.of_loss(x, y, hidden), "pc": origin}
    ends = np.linspace(-toy.extent, toy.extent, 30)
    for variant, objective in (("bp", loss_of), ("pc", equilibrated_energy_of)):

        def value(at: Float[Array, " 2"], objective: Any = objective) -> Array:
            pairs = zip(low.weights, high.weights, strict=True)
            return objective([at[0] * v + at[1] * w for v, w in pairs], x, y)

        grid = jnp.asarray(np.stack(np.meshgrid(ends, ends, indexing="ij"), -1), float)
        values = np.asarray(jax.jit(jax.vmap(jax.vmap(value)))(grid))
        for (i, j), height in np.ndenumerate(values):
            settings = json.dumps({"low": float(ends[i]), "high": float(ends[j])})
            yield {
                "quantity": "landscape",
                "value": float(height),
                "variant": variant,
                "settings": settings,
                **where,
            }
        curvature = jnp.linalg.eigvalsh(jax.hessian(value)(jnp.zeros(2)))[0]
        own = {"variant": variant, **where}
        yield {"quantity": "lowest_curvature", "value": float(curvature), **own}
        expected = float(theory[variant].eigenvalues()[0])
        yield {"quantity": "theoretical_lowest_curvature", "value": expected, **own}


def escapes(evidence: Evidence) -> "pd.Series":
    """Return steps to half the initial loss by network, rule and seed; all steps if never."""
    rows = evidence.measured("train_loss").sort_values("step")
    steps = {}
    for key, own in rows.groupby(["dataset", "variant", "seed"]):
        left = own["step"][own["value"] < ESCAPED * own["value"].iloc[0]]
        steps[key] = float(left.iloc[0] if len(left) else own["step"].iloc[-1])
    import pandas as pd

    return pd.Series(steps, dtype=float)


def pc_escapes_sooner(evidence: Evidence) -> Judged | None:
    steps = escapes(evidence)
    if steps.empty:
        return None
    medians = steps.groupby(level=[0, 1]).median().unstack()
    parts = [f"{row['pc']:.0f} and {row['bp']:.0f} in {name}" for name, row in medians.iterrows()]
    measured = f"steps of PC and BP, medians over seeds: {'; '.join(parts)}"
    return Judged(measured, bool((medians["pc"] < medians["bp"]).all()))


def advantage_grows_with_depth(evidence: Evidence) -> Judged | None:
    steps = escapes(evidence)
    if steps.empty:
        return None
    medians = steps.groupby(level=[0, 1]).median().unstack()
    ratios = medians["bp"] / medians["pc"]
    one, two = ratios["chain, H = 1"], ratios["chain, H = 2"]
    return Judged(
        f"BP takes {one:.2g} times PC's steps at H = 1, {two:.2g} at H = 2", bool(two > one)
    )


def only_energy_has_negative_curvature(evidence: Evidence) -> Judged | None:
    rows = evidence.measurements
    rows = rows[rows["quantity"].isin(["lowest_curvature", "theoretical_lowest_curvature"])]
    if rows.empty:
        return None
    table = rows.pivot_table(
        index=["dataset", "depth", "variant"], columns="quantity", values="value"
    ).reset_index()
    energy, loss = (table[table["variant"] == variant] for variant in ("pc", "bp"))
    off = (energy["lowest_curvature"] / energy["theoretical_lowest_curvature"] - 1).abs().max()
    flat = loss[loss["depth"] > 1]["lowest_curvature"].abs().max()
    measured = (
        f"the energy's from {energy['lowest_curvature'].min():.3g} to "
        f"{energy['lowest_curvature'].max():.3g}, within {100 * off:.2g}% of theory; the loss's at "
        f"most {flat:.2g} for H > 1"
    )
    strict = bool((energy["lowest_curvature"] < -1e-3).all())
    return Judged(measured, strict and off <= 0.01 and flat < 1e-6)


def landscapes(evidence: Evidence) -> "Figure":
    from experiments.figures.contours import contours

    rows = evidence.measured("landscape").reset_index(drop=True)
    places = [json.loads(text) for text in rows["settings"]]
    rows["x"], rows["y"] = ([place[axis] for place in places] for axis in ("low", "high"))
    names = {"bp": "loss", "pc": "energy"}
    pairs = zip(rows["variant"], rows["dataset"], strict=True)
    rows["panel"] = [f"{names[variant]}: {data}" for variant, data in pairs]
    return contours(
        rows, "panel", label="loss or energy",
        names=("along the lowest curvature", "along the highest"),
    )  # fmt: skip


def training(evidence: Evidence, *, quantity: str, label: str) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = evidence.measured(quantity)
    rows = rows[(rows["depth"] != 1) | (rows["step"] <= 100)]
    return lines(rows, Axis("step", "training step"), Axis("value", label), "variant", "dataset")


def setting(steps: int, seconds: float) -> Setting:
    return Setting(
        "y = -x, x ~ N(1, 0.1), B = 64: chains of H = 1, 2 (sigma 5e-2, eta 0.4, T = 20, 400 "
        f"steps) and N = 10, H = 2 with 3 inputs (sigma 0.1, eta 1e-3, T = 50, {steps} steps), 5 "
        "seeds; landscapes of 30 x 30",
        calculate=partial(calculate, steps=steps),
        seconds=seconds,
    )


SADDLE_LANDSCAPES = (
    Recipe(
        name="saddle-landscapes",
        title="toy landscapes around the origin, and descent from it",
        source="T4.4.2, figs. 4.2, B.1",
        small=setting(6000, 30),
        full=setting(20_000, 90),
        claims=(
            Claim(
                "PC escapes the origin sooner than BP in every toy network",
                "T fig. 4.2",
                "fewer steps to half of the first loss",
                "medians over 5 seeds",
                pc_escapes_sooner,
            ),
            Claim(
                "at the same learning rate, PC's advantage grows with depth",
                "T fig. 4.2",
                "a larger ratio of steps in the deeper chain",
                "medians over 5 seeds",
                advantage_grows_with_depth,
            ),
            Claim(
                "at the origin the energy has negative curvature at any depth, the loss none "
                "for H > 1",
                "T fig. 4.2",
                "theory's lowest eigenvalue; 0",
                "1%; 1e-6",
                only_energy_has_negative_curvature,
            ),
        ),
        figures={
            "fig-4.2-landscapes": landscapes,
            "fig-4.2-training": partial(training, quantity="train_loss", label="training loss"),
            "fig-B.1-gradients": partial(
                training, quantity="weight_gradient_norm", label="weight gradient norm"
            ),
        },
        choices=(
            "sigma is a standard deviation, as in T. Only a drawing shows the wide network's "
            "sizes: N = 10, H = 2. All landscapes, chains included, are on the plane of the "
            "energy's extreme eigenvectors at the origin, with the energy in closed form. The "
            "steps of 0.1 are on the per-sample energy. Every batch is fresh, so B.1's test "
            "loss is the training loss."
        ),
    ),
)
