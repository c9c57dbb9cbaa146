"""Thesis 3.4, A.1.1, A.2: predictive coding and backpropagation with one hidden unit."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from experiments import one_unit_training as training
from experiments.evidence import Evidence
from experiments.one_unit_training import RULES, WEIGHT_LR, map_rows, row
from experiments.recipe import Claim, Judged, Recipe, Row, Setting

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from experiments.figures.measured import Figure

NEAR = 0.01
"""Standard deviation of weights near the saddle."""

TRAINED = ("pc", "bp")
SEEDS = 10
STEPS = 400
REACH = 2.0
MINIMUM = (0.6, -1 / 0.6)
"""The solution around which figure A.1 is drawn here."""


def landscapes(points: int) -> Iterator[Row]:
    """Yield both landscapes on a grid, trainings through them, and theory at the saddle."""
    import jax

    chain = training.chain()
    places, _ = training.grid(points, REACH)
    for variant, objective in (("bp", chain.loss), ("pc", chain.energy)):
        yield from map_rows("landscape", places, _heights(objective, places), variant=variant)
    yield from paths()
    yield from escapes()
    with jax.enable_x64(True):
        yield from saddle()
        yield from minima()
        yield from flows()


def _heights(objective: Callable[..., Any], places: "np.ndarray") -> "np.ndarray":
    import jax
    import numpy as np

    return np.asarray(jax.jit(jax.vmap(objective))(places))


def paths() -> Iterator[Row]:
    """Yield trainings from U(-1, 1): their paths, and the duration of the final approach."""
    import numpy as np

    for variant in TRAINED:
        found = training.train(RULES[variant], SEEDS, STEPS)
        near, solved = found.first_below(0.05), found.first_below(training.SOLVED)
        for seed in range(SEEDS):
            yield row(
                "near_minimum_steps", solved[seed] - near[seed], {}, variant=variant, seed=seed
            )
            last = STEPS - 1 if np.isnan(solved[seed]) else int(solved[seed])
            for step in range(last + 1):
                for name, weight in zip("xy", found.weights[seed, step], strict=True):
                    yield row(f"path_{name}", weight, {}, variant=variant, seed=seed, step=step)


def escapes() -> Iterator[Row]:
    """Yield the steps from next to the saddle until the test loss has halved."""
    for variant in TRAINED:
        found = training.train(RULES[variant], SEEDS, STEPS, initial_std=NEAR)
        steps = found.first_below(found.test_loss[:, :1] / 2)
        for seed in range(SEEDS):
            yield row("escape_steps", steps[seed], {}, variant=variant, seed=seed)


def saddle() -> Iterator[Row]:
    """Yield the Hessians' eigenvalues at the origin, by differentiation and by eq. A.9."""
    import jax
    import jax.numpy as jnp

    from pccore.theory.near_critical import escape_steps
    from pccore.theory.one_unit import saddle_eigenvalues

    chain = training.chain()
    theory = saddle_eigenvalues(chain)
    for variant, objective, stated in (
        ("bp", chain.loss, theory.loss),
        ("pc", chain.energy, theory.energy),
    ):
        values = jnp.linalg.eigvalsh(jax.jit(jax.hessian(objective))(jnp.zeros(2)))
        for name, value, expected in zip(("lowest", "highest"), values, stated, strict=True):
            yield row(f"saddle_{name}", value, {}, variant=variant)
            yield row(f"saddle_{name}_theory", expected, {}, variant=variant)
        steps = escape_steps(values[0], WEIGHT_LR, NEAR, 1.0)
        flow = jnp.log(1.0 / NEAR) / -values[0] / WEIGHT_LR
        yield row("escape_steps_theory", steps, {}, variant=variant)
        yield row("escape_steps_flow", flow, {}, variant=variant)


def minima() -> Iterator[Row]:
    """Yield the largest Hessian eigenvalue along the solutions, by differentiation."""
    import jax
    import jax.numpy as jnp

    chain = training.chain()
    for variant, objective in (("bp", chain.loss), ("pc", chain.energy)):
        hessian = jax.jit(jax.hessian(objective))
        for w2 in (0.25, 0.5, 1.0, 2.0, 4.0):
            sharpness = jnp.linalg.eigvalsh(hessian(jnp.array([training.SLOPE / w2, w2])))[-1]
            yield row("sharpness", sharpness, {"w2": w2}, variant=variant)


def flows() -> Iterator[Row]:
    """Yield the quadratic maps of figure A.1, at the saddle and a minimum, with gradient flow."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from pccore.theory.near_critical import flow_trajectory

    chain = training.chain()
    places, axis = training.grid(21, 1.0)
    kept = axis[[2, 10, 18]]
    starts = jnp.array([(x, y) for x in kept for y in kept if (x, y) != (0, 0)])
    times = jnp.linspace(0, 3, 16)
    for where, centre in (("saddle", (0.0, 0.0)), ("minimum", MINIMUM)):
        for variant, objective in (("bp", chain.loss), ("pc", chain.energy)):
            H = jax.jit(jax.hessian(objective))(jnp.array(centre))
            heights = 0.5 * np.einsum("ni,ij,nj->n", places, np.asarray(H), places)
            panel = f"{where}, {variant.upper()}"
            yield from map_rows("quadratic", places, heights, variant=panel)
            ways = jax.jit(jax.vmap(lambda start, H=H: flow_trajectory(H, start, times)))(starts)
            for number, way in enumerate(np.asarray(ways)):
                for step, point in enumerate(way):
                    for name, value in zip("xy", point, strict=True):
                        known = {"variant": panel, "seed": number, "step": step}
                        yield row(f"flow_{name}", value, {}, **known)


def values_by_seed(evidence: Evidence, quantity: str, variant: str) -> "np.ndarray":
    """Return the values of a quantity, in the order of seeds."""
    return evidence.measured(quantity, variant=variant).sort_values("seed")["value"].to_numpy()


def saddle_is_steeper(evidence: Evidence) -> Judged | None:
    parts, holds = [], True
    for name in ("lowest", "highest"):
        bp, pc = (values_by_seed(evidence, f"saddle_{name}", variant) for variant in ("bp", "pc"))
        if not (len(bp) and len(pc)):
            return None
        stated = (
            values_by_seed(evidence, f"saddle_{name}_theory", variant) for variant in ("bp", "pc")
        )
        wrong = max(abs(a[0] / b[0] - 1) for a, b in zip((bp, pc), stated, strict=True))
        parts.append(f"{name} {pc[0]:.4f} < {bp[0]:.4f}, {wrong:.0e} from A.9")
        holds &= bool(pc[0] < bp[0] and wrong < 1e-6)
    return Judged("; ".join(parts), holds)


def escapes_faster(evidence: Evidence) -> Judged | None:
    bp, pc = (values_by_seed(evidence, "escape_steps", variant) for variant in ("bp", "pc"))
    if not (len(bp) and len(pc)):
        return None
    measured = f"PC {pc.mean():.1f}, BP {bp.mean():.1f} steps; {(pc < bp).sum()} of {len(pc)} seeds"
    return Judged(measured, bool((pc < bp).all()))


def escapes_as_predicted(evidence: Evidence) -> Judged | None:
    bp, pc = (values_by_seed(evidence, "escape_steps", variant) for variant in ("bp", "pc"))
    theory = [values_by_seed(evidence, "escape_steps_theory", variant) for variant in ("bp", "pc")]
    if not (len(bp) and len(pc)) or not all(map(len, theory)):
        return None
    ratio, predicted = float(bp.mean() / pc.mean()), float(theory[0][0] / theory[1][0])
    return Judged(f"{ratio:.2f}, predicted {predicted:.2f}", abs(ratio / predicted - 1) <= 0.2)


def slower_near_minimum(evidence: Evidence) -> Judged | None:
    bp, pc = (values_by_seed(evidence, "near_minimum_steps", variant) for variant in ("bp", "pc"))
    if not (len(bp) and len(pc)):
        return None
    measured = f"PC {pc.mean():.1f}, BP {bp.mean():.1f} steps from a test loss of 0.05 to 0.001"
    return Judged(measured, bool(pc.mean() >= 1.2 * bp.mean()))


def minima_are_flatter(evidence: Evidence) -> Judged | None:
    rows = evidence.measured("sharpness")
    if not len(rows):
        return None
    table = training.unfolded(rows).pivot_table(index="w2", columns="variant", values="value")
    ratio, stated = table["pc"] / table["bp"], 1 / (1 + table.index.to_numpy() ** 2)
    wrong = float((ratio / stated - 1).abs().max())
    measured = f"ratio {ratio.min():.3f} to {ratio.max():.3f}, {wrong:.0e} from 1 / (1 + w_2^2)"
    return Judged(measured, bool((ratio < 1).all() and wrong < 1e-6))


def flow_is_like_descent(evidence: Evidence) -> Judged | None:
    parts, worst = [], 0.0
    for variant in TRAINED:
        steps, flow = (
            values_by_seed(evidence, f"escape_steps_{kind}", variant) for kind in ("theory", "flow")
        )
        if not (len(steps) and len(flow)):
            return None
        worst = max(worst, abs(flow[0] / steps[0] - 1))
        parts.append(f"{variant.upper()} {flow[0]:.1f} and {steps[0]:.1f}")
    return Judged(f"steps of flow and descent: {', '.join(parts)}", worst <= 0.2)


def _as_paths(evidence: Evidence, stem: str) -> "pd.DataFrame":
    """Return the rows of two quantities, w_1 and w_2, as points of paths."""
    parts = [
        evidence.measured(f"{stem}_{name}").set_index(["variant", "seed", "step"])["value"]
        for name in "xy"
    ]
    import pandas as pd

    table = pd.concat(parts, axis=1, keys=["x", "y"]).sort_index().reset_index()
    return table.rename(columns={"seed": "path"})


def landscape_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.contours import contours

    maps = training.unfolded(evidence.measured("landscape"))
    ways = _as_paths(evidence, "path")
    title = "Loss (BP) and equilibrated energy (PC), with training"
    return contours(maps, "variant", ways[ways["path"] < 5], label="objective", title=title)


def flow_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.contours import contours

    maps = training.unfolded(evidence.measured("quadratic"))
    return contours(
        maps,
        "variant",
        _as_paths(evidence, "flow"),
        panels=[f"{where}, {name}" for where in ("saddle", "minimum") for name in ("BP", "PC")],
        columns=2,
        label="to second order",
        names=("Δw₁", "Δw₂"),
        title="Gradient flow near critical points",
    )


TOY_LANDSCAPE = Recipe(
    name="toy-landscape",
    title="with one hidden unit PC leaves the saddle sooner and slows down near minima",
    source="T3.4, A.1.1, A.2, figs. 3.1, A.1",
    small=Setting(
        "one linear hidden unit, y = -x, eta = 0.2, B = 64, beta = 0.1 per sample, T = 20, "
        "10 seeds; maps of 31 x 31",
        calculate=lambda data_dir: landscapes(31),
        seconds=8,
    ),
    full=Setting(
        "the same; maps of 101 x 101", calculate=lambda data_dir: landscapes(101), seconds=10
    ),
    claims=(
        Claim(
            "both Hessian eigenvalues at the saddle are lower for the equilibrated energy",
            "T eq. A.9",
            "lower, and the values of A.9",
            "1e-6, by differentiation",
            saddle_is_steeper,
        ),
        Claim(
            "PC leaves the saddle in fewer steps than BP",
            "T thm. A.1",
            "fewer",
            "in each of 10 seeds",
            escapes_faster,
        ),
        Claim(
            "the negative curvatures at the saddle predict PC's advantage",
            "T eq. A.11",
            "the ratio of steps is that of log(1 - eta lambda)",
            "20%",
            escapes_as_predicted,
        ),
        Claim(
            "PC slows down near a minimum",
            "T fig. 3.1",
            "more steps than BP",
            "at least 20% more, mean of 10 seeds",
            slower_near_minimum,
        ),
        Claim(
            "minima of the equilibrated energy are flatter",
            "T thm. A.2",
            "by 1 / (1 + w_2^2)",
            "1e-6, by differentiation",
            minima_are_flatter,
        ),
        Claim(
            "gradient flow approximates gradient descent well",
            "T fig. A.1",
            "the same escape time",
            "20%",
            flow_is_like_descent,
        ),
    ),
    figures={"fig-3.1-landscape": landscape_figure, "fig-A.1-flow": flow_figure},
    choices=(
        "N(1, 0.1) is read as a standard deviation of 0.1. beta = 0.1 scales the per-sample "
        "gradient; of the batch mean, 20 steps would not move the activities. Training near "
        "the saddle starts from N(0, 0.01^2); figure 3.1 does not state its start."
    ),
)


ONE_UNIT = (TOY_LANDSCAPE,)
