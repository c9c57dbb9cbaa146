"""Thesis section 4.5: the saddles that gradient descent visits on its way to a matrix of rank 3."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import SEEDS
from pccore.theory.matrix_completion import completion_energy, completion_loss, network_map

if TYPE_CHECKING:
    import pandas as pd

    from experiments.figures.measured import Figure

SIZE, RANK, DEPTH, WIDTH, STD, MASKED = 10, 3, 3, 100, 5e-3, 0.2
LEAST_SINGULAR_VALUE = 1e-2
"""Singular values of the map above this part of the target's largest count towards its rank."""
ESCAPED = 0.9
"""A saddle counts as escaped once the loss is this part of its value there."""

Weights = tuple[Float[Array, "..."], ...]


@dataclass(frozen=True)
class Descent:
    """Full-batch gradient descent.

    Attributes:
        weight_lr: eta.
        steps: total number of steps.
        every: steps between two records.
    """

    weight_lr: float
    steps: int
    every: int


class Record(NamedTuple):
    """The record of one step."""

    loss: Array
    gradient_norm: Array
    singular_values: Array
    weights: Weights


def problem(seed: int) -> tuple[Weights, np.ndarray, np.ndarray]:
    """Return weights near the origin, a target of rank 3, and a mask of its observed entries."""
    random = np.random.default_rng(seed)
    target = random.normal(size=(SIZE, RANK)) @ random.normal(size=(RANK, SIZE))
    observed = (random.random((SIZE, SIZE)) >= MASKED).astype(float)
    widths = (SIZE, *(WIDTH,) * DEPTH, SIZE)
    shapes = zip(widths[1:], widths, strict=False)
    return tuple(jnp.asarray(STD * random.normal(size=s)) for s in shapes), target, observed


@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.vmap, in_axes=(None, None, 0, 0, 0))
def descend(
    objective: Callable[..., Array], how: Descent, weights: Weights, target: Array, observed: Array
) -> Record:
    """Return the stacked records of one descent; lanes run in parallel."""

    def step(_: int, weights: Weights) -> Weights:
        gradients = jax.grad(objective)(weights, target, observed)
        return tuple(W - how.weight_lr * g for W, g in zip(weights, gradients, strict=True))

    def record(weights: Weights, _: None) -> tuple[Weights, Record]:
        gradients = jax.grad(objective)(weights, target, observed)
        size = jnp.sqrt(sum(jnp.sum(g**2) for g in gradients))
        values = jnp.linalg.svd(network_map(weights), compute_uv=False)
        found = Record(completion_loss(weights, target, observed), size, values, weights)
        return jax.lax.fori_loop(0, how.every, step, weights), found

    return jax.lax.scan(record, weights, None, length=how.steps // how.every)[1]


def calculate(_: Path | None, *, bp: Descent, pc: Descent, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Descend with BP from near the origin, and with PC at equilibrium from every saddle of BP."""
    with jax.enable_x64(True):
        weights, targets, observed = _stacked([problem(seed) for seed in seeds])
        visits = jax.tree.map(np.asarray, descend(completion_loss, bp, weights, targets, observed))
        starts = []
        for lane, seed in enumerate(seeds):
            visit = jax.tree.map(lambda values, lane=lane: values[lane], visits)
            largest = np.linalg.svd(targets[lane], compute_uv=False)[0]
            ranks = np.sum(visit.singular_values > LEAST_SINGULAR_VALUE * largest, axis=-1)
            yield from _rows(visit, ranks, bp, seed, "bp", {})
            for saddle in range(RANK):
                if not np.any(ranks == saddle):
                    continue
                place = int(np.argmin(np.where(ranks == saddle, visit.gradient_norm, np.inf)))
                at = {"variant": "bp", "seed": seed, "settings": json.dumps({"saddle": saddle})}
                yield {"quantity": "saddle_step", "value": place * bp.every, **at}
                starts.append((seed, saddle, [W[place] for W in visit.weights], largest, lane))
        own = [(tuple(w), targets[lane], observed[lane]) for _, _, w, _, lane in starts]
        left = jax.tree.map(np.asarray, descend(completion_energy, pc, *_stacked(own)))
        for place, (seed, saddle, _weights, largest, _lane) in enumerate(starts):
            escape = jax.tree.map(lambda values, place=place: values[place], left)
            ranks = np.sum(escape.singular_values > LEAST_SINGULAR_VALUE * largest, axis=-1)
            yield from _rows(escape, ranks, pc, seed, "pc", {"saddle": saddle})


def _stacked(problems: list[Any]) -> Any:
    return jax.tree.map(lambda *lanes: np.stack(lanes), *problems)


def _rows(
    record: Record, ranks: np.ndarray, how: Descent, seed: int, variant: str, where: dict[str, int]
) -> Iterator[Row]:
    quantities = {
        "train_loss": record.loss,
        "weight_gradient_norm": record.gradient_norm,
        "map_nuclear_norm": np.sum(record.singular_values, axis=-1),
        "map_rank": ranks,
    }
    shared = {
        "variant": variant,
        "activation": "linear",
        "width": WIDTH,
        "depth": DEPTH,
        "weight_lr": how.weight_lr,
        "seed": seed,
        "source": "thesis fig. 4.6",
        **({"settings": json.dumps(where)} if where else {}),
    }
    for quantity, values in quantities.items():
        for place, value in enumerate(values):
            yield {
                "quantity": quantity,
                "step": place * how.every,
                "value": float(value),
                **shared,
            }


class Escape(NamedTuple):
    """One saddle of one seed and both escapes; the number of steps run where there is no escape."""

    saddle: int
    bp_steps: float
    pc_steps: float
    bp_gradient: float
    pc_gradient: float


def escapes(evidence: Evidence) -> list[Escape]:
    """Return escapes from every saddle visited, with the smallest gradient before each."""
    found = []
    for _, row in evidence.measured("saddle_step").iterrows():
        saddle, seed = json.loads(row["settings"])["saddle"], row["seed"]
        bp = _course(evidence, seed, "bp")
        bp = bp[bp.index >= row["value"]]
        pc = _course(evidence, seed, "pc", row["settings"])
        (bp_steps, bp_gradient), (pc_steps, pc_gradient) = _escape(bp), _escape(pc)
        found.append(Escape(saddle, bp_steps, pc_steps, bp_gradient, pc_gradient))
    return found


def _course(
    evidence: Evidence, seed: int, variant: str, settings: str | None = None
) -> "pd.DataFrame":
    """Return loss and gradient norm by step."""
    rows = evidence.measurements
    rows = rows[(rows["seed"] == seed) & (rows["variant"] == variant) & rows["step"].notna()]
    rows = rows[rows["settings"] == settings] if settings else rows[rows["settings"].isna()]
    return rows.pivot_table(index="step", columns="quantity", values="value")


def _escape(course: "pd.DataFrame") -> tuple[float, float]:
    loss = course["train_loss"]
    left = loss[loss < ESCAPED * loss.iloc[0]]
    end = left.index[0] if len(left) else loss.index[-1]
    gradient = course["weight_gradient_norm"][course.index <= end].min()
    return float(end - loss.index[0]), float(gradient)


def bp_visits_every_rank(evidence: Evidence) -> Judged | None:
    ranks = evidence.measured("map_rank", variant="bp")
    if not len(ranks):
        return None
    losses = evidence.measured("train_loss", variant="bp").sort_values("step")
    ends = losses.groupby("seed")["value"].agg(lambda loss: loss.iloc[-1] / loss.iloc[0])
    visited = {seed: set(own["value"].astype(int)) for seed, own in ranks.groupby("seed")}
    last = ranks.sort_values("step").groupby("seed")["value"].last()
    all_visited = all(set(range(RANK + 1)) <= seen for seen in visited.values())
    measured = (
        f"ranks {sorted(set().union(*visited.values()))} on {len(visited)} seeds, {last.min():.0f} "
        f"at the end, with at most {100 * ends.max():.2g}% of the loss left"
    )
    holds = all_visited and bool((last == RANK).all()) and bool((ends < 0.01).all())
    return Judged(measured, holds)


def pc_escapes_sooner(evidence: Evidence) -> Judged | None:
    found = escapes(evidence)
    if {escape.saddle for escape in found} != set(range(RANK)):
        return None
    ratios = [escape.pc_steps / escape.bp_steps for escape in found]
    by_saddle = ", ".join(
        f"{np.mean([e.pc_steps for e in found if e.saddle == saddle]):.0f} steps of PC against "
        f"{np.mean([e.bp_steps for e in found if e.saddle == saddle]):.0f} at rank {saddle}"
        for saddle in range(RANK)
    )
    return Judged(f"{by_saddle}, means over seeds", max(ratios) <= 0.5)


def pc_gradients_do_not_vanish(evidence: Evidence) -> Judged | None:
    found = escapes(evidence)
    if {escape.saddle for escape in found} != set(range(RANK)):
        return None
    ratios = [escape.pc_gradient / escape.bp_gradient for escape in found]
    measured = (
        f"smallest {min(e.pc_gradient for e in found):.2g} with PC, "
        f"{min(e.bp_gradient for e in found):.2g} with BP; the ratio at least {min(ratios):.3g}"
    )
    return Judged(measured, min(ratios) >= 10)


NAMES = {
    "train_loss": "training loss",
    "weight_gradient_norm": "weight gradient norm",
    "map_nuclear_norm": "nuclear norm of the map",
    "map_rank": "rank of the map",
}


def courses(evidence: Evidence) -> "Figure":
    """Draw the first seed: BP through its saddles, and PC from each at the step where BP met it."""
    from experiments.figures.measured import Axis, lines

    rows = evidence.measurements[
        evidence.measurements["seed"] == evidence.measurements["seed"].min()
    ]
    met = evidence.measured("saddle_step").set_index(["seed", "settings"])["value"]
    rows = rows[rows["quantity"].isin(NAMES)].copy()
    pc = rows["variant"] == "pc"
    keys = zip(rows.loc[pc, "seed"], rows.loc[pc, "settings"], strict=True)
    rows["step"] = rows["step"].astype(float)
    rows.loc[pc, "step"] += [float(met[key]) for key in keys]
    rows["line"] = "BP"
    rows.loc[pc, "line"] = [
        f"PC from the saddle of rank {json.loads(settings)['saddle']}"
        for settings in rows.loc[pc, "settings"]
    ]
    rows["panel"] = rows["quantity"].map(NAMES)
    return lines(rows, Axis("step", "training step"), Axis("value", ""), "line", "panel", columns=2)


def setting(text: str, bp: Descent, pc: Descent, seconds: float) -> Setting:
    return Setting(text, calculate=partial(calculate, bp=bp, pc=pc, seeds=SEEDS), seconds=seconds)


MATRIX_COMPLETION = (
    Recipe(
        name="matrix-completion",
        title="PC leaves the higher-rank saddles that BP visits",
        source="T4.5, fig. 4.6",
        small=setting(
            "A 10 x 10 matrix of rank 3 with 20% masked, H = 3, N = 100, sigma = 5e-3, full-batch "
            "descent with eta = 5e-2: 40,000 steps of BP, 4,000 of PC at the exact equilibrium "
            "from each saddle, 3 seeds",
            Descent(5e-2, 40_000, 40),
            Descent(5e-2, 4_000, 10),
            seconds=120,
        ),
        full=setting(
            "A 10 x 10 matrix of rank 3 with 20% masked, H = 3, N = 100, sigma = 5e-3, full-batch "
            "descent with eta = 1e-2: 200,000 steps of BP, 20,000 of PC at the exact equilibrium "
            "from each saddle, 3 seeds",
            Descent(1e-2, 200_000, 200),
            Descent(1e-2, 20_000, 50),
            seconds=600,
        ),
        claims=(
            Claim(
                "from near the origin, BP visits saddles of rank 0, 1 and 2 and ends at rank 3",
                "T fig. 4.6",
                "each rank in turn, then a fit",
                "1% of the loss left",
                bp_visits_every_rank,
            ),
            Claim(
                "from each of these saddles PC escapes sooner than BP",
                "T fig. 4.6",
                "quickly",
                "at most half the steps, at every saddle and seed",
                pc_escapes_sooner,
            ),
            Claim(
                "the gradients of PC do not vanish at these saddles",
                "T fig. 4.6",
                "above those of BP",
                "10 times, at every saddle and seed",
                pc_gradients_do_not_vanish,
            ),
        ),
        figures={"fig-4.6-matrix-completion": courses},
        choices=(
            "sigma = 5e-3 is a standard deviation, as in T (P's variance would not be near "
            "the origin). The loss is that of eq. 4.1 with the 10 unit vectors as samples. PC "
            "is at its equilibrium, in closed form. The saddle of rank r is where BP's "
            "gradient is smallest while the map has rank r, counting singular values above 1% "
            "of the target's largest."
        ),
    ),
)
