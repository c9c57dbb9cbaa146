"""Thesis 3.4, 3.7.1: the effect of inference and precisions on the landscape of one hidden unit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pccore
from experiments import one_unit_training as training
from experiments.evidence import Evidence
from experiments.one_unit_training import SAMPLE_RATE, map_rows, row
from experiments.recipe import Claim, Judged, Recipe, Row, Setting

if TYPE_CHECKING:
    import jax

    from experiments.figures.measured import Figure

REACH = 2.0
STEPS = (0, 1, 10)
"""Inference steps at which figure A.4 shows the landscape."""

RATIOS = (0.5, 1.0, 2.0)
"""gamma = p_1 / p_2 in figure A.5."""

EXTREME = 1e3
"""A ratio that approximates its limit; its inverse approximates the other limit."""


def data() -> "tuple[jax.Array, jax.Array]":
    """Return the training set, (B, 1) each, in JAX's current precision."""
    import jax.numpy as jnp

    toy = training.toy()
    return jnp.asarray(toy.train_x, float), jnp.asarray(toy.train_y, float)


def inferred(w: "jax.Array", steps: int) -> "jax.Array":
    """Return the energy after a number of inference steps from a forward pass."""
    import jax.numpy as jnp

    x, y = data()
    relaxation = training.network(w).relaxation(x, y)
    departure = relaxation.origin()
    if steps:
        rate = jnp.asarray(SAMPLE_RATE * len(x), x.dtype)
        departure = pccore.GradientDescent(steps).infer(relaxation, rate).departure
    return jnp.sum(relaxation.energies(departure))


def course(points: int) -> Iterator[Row]:
    """Yield maps of the loss, of the energy during inference and of the equilibrated energy."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        chain = training.chain()
        places, _ = training.grid(points, REACH)
        for variant, objective in (("bp", chain.loss), ("pc", chain.energy)):
            values = jax.jit(jax.vmap(objective))(places)
            yield from map_rows("objective", places, values, variant=variant)
            lowest = jnp.linalg.eigvalsh(jax.hessian(objective)(jnp.zeros(2)))[0]
            yield row("saddle_lowest", lowest, {}, variant=variant)
        for steps in STEPS:

            def energy(w: "jax.Array", steps: int = steps) -> "jax.Array":
                return inferred(w, steps)

            values = jax.jit(jax.vmap(energy))(places)
            yield from map_rows("energy", places, values, inference_step=steps)
            lowest = jnp.linalg.eigvalsh(jax.jit(jax.hessian(energy))(jnp.zeros(2)))[0]
            yield row("saddle_lowest", lowest, {}, inference_step=steps)


def remaining(evidence: Evidence, steps: int, variant: str) -> float | None:
    """Return the energy's mean distance from an objective, over that of the two objectives."""
    energy = evidence.measured("energy", inference_step=steps)
    loss, settled = (evidence.measured("objective", variant=name) for name in ("bp", "pc"))
    if not all(map(len, (energy, loss, settled))):
        return None
    maps = {
        name: rows.set_index("settings")["value"]
        for name, rows in (("energy", energy), ("bp", loss), ("pc", settled))
    }
    far = (maps["bp"] - maps["pc"]).abs().mean()
    return float((maps["energy"] - maps[variant]).abs().mean() / far)


def starts_as_the_loss(evidence: Evidence) -> Judged | None:
    off = remaining(evidence, 0, "bp")
    return None if off is None else Judged(f"off by {off:.0e}", off <= 1e-6)


def ends_as_the_equilibrated_energy(evidence: Evidence) -> Judged | None:
    left = [remaining(evidence, steps, "pc") for steps in STEPS]
    if None in left:
        return None
    parts = (f"{100 * (share or 0):.3g}% after {t}" for share, t in zip(left, STEPS, strict=True))
    return Judged(f"{', '.join(parts)} steps", (left[-1] or 0) <= 0.05)


def saddle_steepens(evidence: Evidence) -> Judged | None:
    rows = evidence.measured("saddle_lowest")
    along = rows.dropna(subset=["inference_step"]).set_index("inference_step")["value"].sort_index()
    ends = rows[rows["inference_step"].isna()].set_index("variant")["value"]
    if list(along.index) != list(STEPS) or set(ends.index) != {"bp", "pc"}:
        return None
    way = ", ".join(f"{value:.3f} at t = {t:g}" for t, value in along.items())
    measured = f"{way}; {ends['bp']:.3f} of the loss, {ends['pc']:.3f} at equilibrium"
    return Judged(measured, bool((along.diff().dropna() < 0).all()))


def course_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.contours import contours

    maps = training.unfolded(evidence.measured("energy"))
    names = [f"t = {steps}" for steps in STEPS]
    maps["panel"] = [f"t = {steps:g}" for steps in maps["inference_step"]]
    title = "The energy after t steps of inference"
    return contours(maps, "panel", panels=names, label="energy", title=title)


INFERENCE_LANDSCAPE = Recipe(
    name="inference-landscape",
    title="inference turns the loss landscape into that of the equilibrated energy",
    source="T3.4, fig. A.4",
    small=Setting(
        "one linear hidden unit, y = -x, beta = 0.1 per sample, t = 0, 1, 10; maps of 40 x 40",
        calculate=lambda data_dir: course(40),
        seconds=8,
    ),
    full=Setting("the same; maps of 100 x 100", calculate=lambda data_dir: course(100), seconds=10),
    claims=(
        Claim(
            "before inference the energy is the loss",
            "T fig. A.4",
            "the same map",
            "1e-6 of the mean distance between loss and equilibrated energy",
            starts_as_the_loss,
        ),
        Claim(
            "after ten steps the energy is at equilibrium",
            "T fig. A.4",
            "the map of the equilibrated energy",
            "5% of the mean distance between loss and equilibrated energy",
            ends_as_the_equilibrated_energy,
        ),
        Claim(
            "inference makes the escape direction at the saddle steeper",
            "T 3.4",
            "a lower smallest Hessian eigenvalue at the origin",
            "at every t shown, by differentiation through inference",
            saddle_steepens,
        ),
    ),
    figures={"fig-A.4-inference-landscape": course_figure},
    choices="The thesis does not state the step size of inference: 0.1 of each sample's "
    "gradient (A.1.1).",
)


def equilibrated(w: "jax.Array", precisions: tuple[float, float]) -> "tuple[jax.Array, jax.Array]":
    """Return the energy at the equilibrium of inference, and its gradient by the weights."""
    import jax.numpy as jnp

    relaxation = training.network(w, precisions).relaxation(*data())
    found = pccore.GaussNewton().infer(relaxation, jnp.zeros(())).departure
    slopes = training.pair(relaxation.weight_gradients(found))
    return jnp.sum(relaxation.energies(found)), slopes


def ratios(points: int) -> Iterator[Row]:
    """Yield maps by ratio of precisions, and cosines of its gradients with those of BP and TP.

    The output's precision is one. TP's objective is the hidden unit's error 1/2 (y/w_2 - w_1 x)^2
    from the target that inverts the output layer.
    """
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        chain = training.chain()
        places, _ = training.grid(points, REACH)

        def target_propagation(w: "jax.Array") -> "jax.Array":
            return chain.loss(w) / w[1] ** 2

        others = {
            name: jax.jit(jax.vmap(jax.grad(objective)))(places)
            for name, objective in (("bp", chain.loss), ("tp", target_propagation))
        }
        for ratio in (1 / EXTREME, *RATIOS, EXTREME):

            def at(w: "jax.Array", ratio: float = ratio) -> "tuple[jax.Array, jax.Array]":
                return equilibrated(w, (ratio, 1.0))

            heights, slopes = jax.jit(jax.vmap(at))(jnp.asarray(places))
            if ratio in RATIOS:
                yield from map_rows("energy", places, heights, variant=f"γ = {ratio:g}")
            for name, other in others.items():
                sizes = jnp.linalg.norm(slopes, axis=1) * jnp.linalg.norm(other, axis=1)
                cosine = jnp.mean(jnp.sum(slopes * other, axis=1) / sizes)
                yield row(f"cosine_with_{name}", cosine, {"ratio": ratio})


def cosines(evidence: Evidence, other: str) -> dict[float, float] | None:
    """Return mean cosines over the map by increasing ratio; None where one is missing."""
    rows = evidence.measured(f"cosine_with_{other}")
    if not len(rows):
        return None
    found = training.unfolded(rows).set_index("ratio")["value"].sort_index()
    expected = {1 / EXTREME, *RATIOS, EXTREME}
    return None if set(found.index) != expected else dict(found)


def approaches(evidence: Evidence, other: str) -> Judged | None:
    """Judge that larger ratios approach BP, and smaller ones TP."""
    found = cosines(evidence, other)
    if found is None:
        return None
    values = [found[ratio] for ratio in RATIOS]
    pairs = zip(RATIOS, values, strict=True)
    measured = ", ".join(f"{value:.3f} at γ = {ratio:g}" for ratio, value in pairs)
    rising = values if other == "bp" else values[::-1]
    return Judged(f"mean cosine {measured}", rising[0] < rising[1] < rising[2])


def recovers(evidence: Evidence, other: str, ratio: float, least: float) -> Judged | None:
    found = cosines(evidence, other)
    if found is None:
        return None
    return Judged(f"mean cosine {found[ratio]:.4f} at γ = {ratio:g}", found[ratio] >= least)


def ratio_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.contours import contours

    maps = training.unfolded(evidence.measured("energy"))
    order = [f"γ = {ratio:g}" for ratio in reversed(RATIOS)]
    title = "Equilibrated energy by the ratio of precisions"
    return contours(maps, "variant", panels=order, label="energy", title=title)


PRECISION_RATIO = Recipe(
    name="precision-ratio",
    title="the ratio of precisions interpolates between BP and target propagation",
    source="T3.7.1, fig. A.5",
    small=Setting(
        "one linear hidden unit, y = -x, p_1 / p_2 = 2, 1, 1/2 and 1000, 1/1000, at the "
        "equilibrium; maps of 40 x 40",
        calculate=lambda data_dir: ratios(40),
        seconds=10,
    ),
    full=Setting("the same; maps of 100 x 100", calculate=lambda data_dir: ratios(100), seconds=12),
    claims=(
        Claim(
            "a higher precision of the input layer brings PC's updates closer to BP's",
            "T fig. A.5",
            "the mean cosine rises with the ratio",
            "at 1/2, 1, 2",
            lambda evidence: approaches(evidence, "bp"),
        ),
        Claim(
            "a ratio of 2 recovers BP",
            "T fig. A.5",
            "its direction",
            "mean cosine of at least 0.95",
            lambda evidence: recovers(evidence, "bp", 2.0, 0.95),
        ),
        Claim(
            "a higher precision of the output layer brings PC's updates closer to target "
            "propagation's",
            "T fig. A.5",
            "the mean cosine falls with the ratio",
            "at 1/2, 1, 2",
            lambda evidence: approaches(evidence, "tp"),
        ),
        Claim(
            "a ratio of 1/2 recovers target propagation",
            "T fig. A.5",
            "its direction",
            "mean cosine of at least 0.95",
            lambda evidence: recovers(evidence, "tp", 0.5, 0.95),
        ),
        Claim(
            "BP is the limit of large ratios",
            "T 3.7.1",
            "its direction at a ratio of 1000",
            "mean cosine of at least 0.99",
            lambda evidence: recovers(evidence, "bp", EXTREME, 0.99),
        ),
        Claim(
            "target propagation is the limit of small ratios",
            "T 3.7.1",
            "its direction at a ratio of 1/1000",
            "mean cosine of at least 0.99",
            lambda evidence: recovers(evidence, "tp", 1 / EXTREME, 0.99),
        ),
    ),
    figures={"fig-A.5-precision-ratio": ratio_figure},
    choices=(
        "The thesis does not define recovery: here, the same direction of weight updates over "
        "the map. Target propagation's objective is the error of the hidden unit from y / "
        "w_2."
    ),
)

INFERENCE = (INFERENCE_LANDSCAPE, PRECISION_RATIO)
