"""Thesis 6.4: the wall-clock time of inference by Euler's fixed steps and Heun's adaptive steps."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pccore
from experiments.accuracy import CHANCE, judged
from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from experiments.settings import NAMES, SEEDS, batch, runs_of, stack, steps_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from experiments.figures.measured import Figure
    from transfer import Run

BATCH, WEIGHT_LR = 64, 1e-3
SOLVERS = ("euler", "heun")
PLACE = ["dataset", "depth"]

Cell = tuple[float, float]
"""T, the upper limit of integration, and dt, the step size (for Heun the first step)."""

CHOSEN: Mapping[tuple[str, int], tuple[Cell, Cell]] = {
    ("mnist", 3): ((20, 0.5), (20, 0.05)),
    ("mnist", 5): ((50, 0.5), (50, 0.05)),
    ("mnist", 10): ((200, 0.05), (200, 0.05)),
    ("fashion_mnist", 3): ((20, 0.5), (20, 0.1)),
    ("fashion_mnist", 5): ((200, 0.5), (200, 0.5)),
    ("fashion_mnist", 10): ((200, 0.05), (200, 0.05)),
    ("cifar10", 3): ((50, 0.05), (50, 0.05)),
    ("cifar10", 5): ((200, 0.05), (500, 0.5)),
    ("cifar10", 10): ((200, 0.1), (500, 0.1)),
}
"""The cells of Euler and Heun that the authors found most accurate (D.2 to D.4)."""


class Size(NamedTuple):
    """The size of the experiment.

    Attributes:
        datasets: names of the data sets.
        width: N.
        depths: H.
        steps: weight updates; None means an epoch.
        cells: T and dt, all pairs of which are trained.
        timed: number of timed weight updates.
        seeds: seeds of the weights and the order of the data.
    """

    datasets: Sequence[str]
    width: int
    depths: Sequence[int]
    steps: int | None
    cells: tuple[Sequence[float], Sequence[float]]
    timed: int
    seeds: Sequence[int]


def config(dataset: str, solver: str, shape: tuple[int, int], cell: Cell) -> pccore.TrainingConfig:
    """Return a tanh network whose inference integrates to T; the activity learning rate is dt."""
    network = stack(dataset, *shape, activation="tanh", residual=False, parameterisation="sp")
    limit, dt = cell
    flow: pccore.InferenceScheme
    if solver == "euler":
        flow = pccore.GradientFlow(round(limit / dt), "euler")
    else:
        flow = pccore.AdaptiveFlow(limit / dt, max_steps=512)
    return pccore.TrainingConfig(network, pccore.PredictiveCoding(flow), batch_size=BATCH)


def trained(data_dir: Path | None, size: Size) -> "list[Run]":
    """Return the runs of figures D.2 to D.4: every T and dt."""
    limits, dts = size.cells
    found = []
    for dataset in size.datasets:
        steps = steps_of(dataset, 1) if size.steps is None else size.steps
        for solver in SOLVERS:
            for depth in size.depths:
                for cell in ((limit, dt) for limit in limits for dt in dts):
                    own = config(dataset, solver, (size.width, depth), cell)
                    found += runs_of(
                        dataset, f"{solver} to {cell[0]:g}",
                        replace(own, steps=steps, eval_every=steps), data_dir,
                        weight_lrs=[WEIGHT_LR], activity_lrs=[cell[1]], seeds=size.seeds,
                    )  # fmt: skip
    return found


def timings(data_dir: Path | None, size: Size) -> Iterator[Row]:
    """Time every update during training with the chosen cells, as in figure 6.2."""
    for dataset in size.datasets:
        x, y = batch(dataset, data_dir, BATCH * size.timed)
        for depth in size.depths:
            for solver, cell in zip(SOLVERS, CHOSEN[dataset, depth], strict=True):
                own = config(dataset, solver, (size.width, depth), cell)
                for seed in size.seeds:
                    for step, seconds in enumerate(_timed(own, cell[1], seed, x, y)):
                        yield {
                            "quantity": "update_time",
                            "value": seconds,
                            "unit": "s",
                            "variant": solver,
                            "dataset": dataset,
                            "activation": "tanh",
                            "width": size.width,
                            "depth": depth,
                            "batch_size": BATCH,
                            "activity_lr": cell[1],
                            "seed": seed,
                            "step": step,
                            "settings": json.dumps({"T": cell[0]}),
                            "source": "thesis fig. 6.2",
                        }


def _timed(
    config: pccore.TrainingConfig, dt: float, seed: int, x: "np.ndarray", y: "np.ndarray"
) -> Iterator[float]:
    """Yield seconds of every update, compilation excluded."""
    import jax
    import jax.numpy as jnp

    transformation = config.optimiser.transformation()

    @jax.jit
    def update(network: Any, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        _, slopes = config.rule.gradients(network, x, y, jnp.asarray(dt), jax.random.key(0))
        direction, state = transformation.update(slopes, state, network)
        return jax.tree.map(lambda w, d: w - WEIGHT_LR * d, network, direction), state

    network = config.network.build(jax.random.key(seed))
    state = transformation.init(network)
    batches = [
        (jnp.asarray(x[at : at + BATCH], float), jnp.asarray(y[at : at + BATCH], float))
        for at in range(0, len(x), BATCH)
    ]
    jax.block_until_ready(update(network, state, *batches[0]))
    for own in batches:
        clock = time.perf_counter()
        network, state = jax.block_until_ready(update(network, state, *own))
        yield time.perf_counter() - clock


def medians(evidence: Evidence) -> "pd.DataFrame | None":
    """Return seconds of an update, median over steps and seeds, by solver and network."""
    rows = evidence.measured("update_time")
    table = rows.pivot_table(index=PLACE, columns="variant", values="value", aggfunc="median")
    whole = len(table) and set(table.columns) == set(SOLVERS) and table.notna().all(axis=None)
    return table if whole else None


def heun_is_faster(evidence: Evidence) -> Judged | None:
    table = medians(evidence)
    if table is None:
        return None
    parts = [
        f"{1e3 * heun:.3g} ms against Euler's {1e3 * euler:.3g} at H = {depth} on {NAMES[name]}"
        for name, depth, euler, heun in _rows(table)
    ]
    return Judged(", ".join(parts), bool((table["heun"] < table["euler"]).mean() > 0.5))


def advantage_grows_with_depth(evidence: Evidence) -> Judged | None:
    table = medians(evidence)
    if table is None:
        return None
    ratios = (table["euler"] / table["heun"]).unstack()
    if len(ratios.columns) < 2 or ratios.isna().any(axis=None):
        return None
    means = ratios.mean()
    parts = (f"{ratio:.1f} at H = {depth}" for depth, ratio in means.items())
    measured = f"Euler's time over Heun's {', '.join(parts)}"
    return Judged(measured, bool(means.iloc[-1] > means.iloc[0]))


def euler_is_steadier(evidence: Evidence) -> Judged | None:
    """Judge half the interquartile range of times over their median, as a mean over networks."""
    if medians(evidence) is None:
        return None
    times = evidence.measured("update_time").groupby([*PLACE, "seed", "variant"])["value"]
    spread = 0.5 * (times.quantile(0.75) - times.quantile(0.25)) / times.median()
    means = 100 * spread.groupby("variant").mean()
    return Judged(
        f"varies by {means['euler']:.2g}%, Heun's by {means['heun']:.2g}%",
        bool(means["euler"] < means["heun"]),
    )


def accuracies(evidence: Evidence) -> "pd.DataFrame":
    """Return mean test accuracy over seeds (%) by solver, T, dt and network; diverged is chance."""
    runs = evidence.runs
    named = runs["variant"].astype(str).str.extract(r"(?P<solver>\w+) to (?P<T>[\d.]+)")
    percent = 100 * runs["test_accuracy"].fillna(CHANCE)
    frame = runs[[*PLACE, "activity_lr"]].assign(
        solver=named["solver"], T=named["T"].astype(float), percent=percent
    )
    return frame.groupby([*PLACE, "solver", "T", "activity_lr"])["percent"].mean().reset_index()


def comparable(evidence: Evidence) -> Judged | None:
    """Judge the best cell of each solver."""
    best = accuracies(evidence).groupby([*PLACE, "solver"])["percent"].max().unstack()
    if not len(best) or set(best.columns) != set(SOLVERS) or best.isna().any(axis=None):
        return None
    return judged(
        (f"{solver} at H = {depth} on {NAMES[name]}", percent, abs(euler - heun) <= 2)
        for name, depth, euler, heun in _rows(best)
        for solver, percent in (("Euler", euler), ("Heun", heun))
    )


def _rows(table: "pd.DataFrame") -> Iterator[tuple[Any, ...]]:
    """Yield data set, H, and the values of Euler and Heun."""
    return table.reset_index()[[*PLACE, *SOLVERS]].itertuples(index=False, name=None)


def deeper_needs_longer_times(evidence: Evidence) -> Judged | None:
    """Judge the shortest T within a point of the best accuracy."""
    table = accuracies(evidence)
    if not len(table) or set(table["solver"]) != set(SOLVERS) or table["depth"].nunique() < 2:
        return None
    best = table.groupby([*PLACE, "solver"])["percent"].transform("max")
    needed = table[table["percent"] >= best - 1].groupby([*PLACE, "solver"])["T"].min()
    means = needed.groupby(["solver", "depth"]).mean().unstack()
    parts = [
        f"{str(solver).capitalize()} {', '.join(f'{T:g} at H = {H}' for H, T in row.items())}"
        for solver, row in means.iterrows()
    ]
    return Judged("; ".join(parts), bool((means.iloc[:, -1] > means.iloc[:, 0]).all()))


def time_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    rows = evidence.measured("update_time")
    pairs = zip(rows["dataset"], rows["depth"], strict=True)
    frame = rows.assign(
        panel=[f"{NAMES[dataset]}, H = {depth:2d}" for dataset, depth in pairs],
        solver=rows["variant"].map(str.capitalize),
        ms=1e3 * rows["value"],
    )
    return lines(
        frame, Axis("step", "training step"), Axis("ms", "time of an update, ms", log=True),
        "solver", "panel", title="Wall-clock time at the authors' T and dt",
    )  # fmt: skip


def accuracy_figure(evidence: Evidence) -> "Figure":
    from experiments.figures.measured import Axis, lines

    table = accuracies(evidence)
    pairs = zip(table["dataset"], table["depth"], strict=True)
    steps = zip(table["solver"], table["activity_lr"], strict=True)
    frame = table.assign(
        panel=[f"{NAMES[dataset]}, H = {depth:2d}" for dataset, depth in pairs],
        solver=[f"{solver.capitalize()}, dt = {dt:g}" for solver, dt in steps],
    )
    return lines(
        frame, Axis("T", "T, upper limit of integration", log=True),
        Axis("percent", "test accuracy, %"), "solver", "panel",
    )  # fmt: skip


SMALL = Size(("mnist",), 32, (3, 10), 100, ((5, 20, 200), (0.5, 0.1)), 40, SEEDS[:2])
FULL = Size(
    ("mnist", "fashion_mnist", "cifar10"),
    300,
    (3, 5, 10),
    None,
    ((5, 10, 20, 50, 100, 200, 500), (0.5, 0.1, 0.05)),
    937,
    SEEDS,
)

EULER_HEUN = (
    Recipe(
        name="euler-heun",
        title="a second-order solver needs less time for inference than Euler",
        source="T6.4, figs. 6.2, D.1 to D.4",
        small=Setting(
            "MNIST, tanh, N = 32, H = 3, 10, 100 updates of Adam at eta = 1e-3, T = 5, 20, 200, "
            "dt = 0.5, 0.1, 2 seeds; 40 updates timed at the authors' T and dt",
            lambda data_dir: trained(data_dir, SMALL),
            calculate=lambda data_dir: timings(data_dir, SMALL),
            datasets=("mnist",),
            seconds=60,
        ),
        full=Setting(
            "MNIST, Fashion-MNIST and CIFAR-10, tanh, N = 300, H = 3, 5, 10, an epoch of Adam at "
            "eta = 1e-3, T = 5 to 500, dt = 0.5, 0.1, 0.05, 3 seeds; every update timed at the "
            "authors' T and dt",
            lambda data_dir: trained(data_dir, FULL),
            calculate=lambda data_dir: timings(data_dir, FULL),
            datasets=("mnist", "fashion_mnist", "cifar10"),
            seconds=7200,
        ),
        claims=(
            Claim(
                "Heun takes less wall-clock time than Euler",
                "T fig. 6.2",
                "a shorter update at the authors' T and dt",
                "in most networks, median of updates and seeds, compilation excluded",
                heun_is_faster,
            ),
            Claim(
                "Heun's advantage is generally larger in deeper networks",
                "T fig. 6.2",
                "a larger ratio of times at the largest H than at the smallest",
                "none; mean over data sets",
                advantage_grows_with_depth,
            ),
            Claim(
                "Euler's update time varies less during training",
                "T 6.4",
                "a smaller relative spread over updates than Heun's",
                "interquartile, mean over networks and seeds",
                euler_is_steadier,
            ),
            Claim(
                "at their best T and dt both solvers are comparably accurate",
                "T fig. D.1",
                "the same test accuracy",
                "2 points, mean over seeds",
                comparable,
            ),
            Claim(
                "deeper networks need a longer T",
                "T figs. D.2 to D.4",
                "a longer shortest T within a point of the best accuracy",
                "at the largest H than at the smallest, both solvers",
                deeper_needs_longer_times,
            ),
        ),
        figures={"fig-6.2-times": time_figure, "fig-D.2-accuracies": accuracy_figure},
        choices=(
            "Time is that of the flow of the batch mean. The thesis names neither the "
            "optimiser (here Adam) nor the tolerances (here 1e-3, as in B.4). Networks are SP "
            "without skips or biases. Updates are timed one network at a time, on batches in "
            "file order."
        ),
    ),
)
