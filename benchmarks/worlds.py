"""Landscapes with known truth, drawn at random, on which the judge's intervals are checked.

A world is a log loss over log2 of the two rates at a tuned shape and at a target, and the noise of
its seeds. Each family exaggerates one property of measured landscapes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from results.landscape import Cell, Landscape, optimum
from transfer.judge.region import Region

STEP = np.log2(10) / 2
"""Half a decade in octaves, the distance of neighbouring cells."""
SIDE = 5
"""Values of each rate in the tuned grid."""
SEED_SHIFT = 0.03
"""Standard deviation of the shift of all log losses of one seed."""
CHANCE = 4.0
"""Log of the untrained loss over the best one: cells beyond it stay at chance."""
NOISES = (0.02, 0.05, 0.1, 0.2)
"""Standard deviations of a log loss over seeds."""

GRID = tuple(float(2 ** (STEP * k)) for k in range(-(SIDE // 2), SIDE // 2 + 1))
CELLS = tuple(Cell(eta, beta) for eta in GRID for beta in GRID)

Surface = Callable[[ndarray], ndarray]
"""Log losses (n,) at log2 of rates (n, 2)."""


@dataclass(frozen=True)
class World:
    """A tuned shape and a target.

    Attributes:
        surfaces: their log losses.
        optima: log2 of the best rates of each, where they are unique (2, 2).
        noise: the standard deviation of a log loss at the tuned shape.
        at_target: that at the target.
        cliff: log2 of eta beyond which runs diverge, at each shape.
        heavy: whether the noise has the tails of Student's t with three degrees of freedom.
    """

    surfaces: tuple[Surface, Surface]
    optima: ndarray | None
    noise: float
    at_target: float
    cliff: tuple[float, float] = (np.inf, np.inf)
    heavy: bool = False

    def observe(self, seeds: int, draw: np.random.Generator) -> tuple[Landscape, Landscape, Cell]:
        """Return runs at both shapes, and the transferred cell: 25 and up to 9 cells."""
        while True:
            tuned = self.runs(0, CELLS, seeds, draw)
            cell = optimum(tuned)
            if cell is not None:
                return tuned, self.runs(1, neighbours(cell), seeds, draw), cell

    def runs(
        self, shape: int, cells: tuple[Cell, ...], seeds: int, draw: np.random.Generator
    ) -> Landscape:
        """Return runs of cells at one shape."""
        points = positions(cells)
        size = (len(cells), seeds)
        noise = draw.standard_t(3, size) / np.sqrt(3) if self.heavy else draw.normal(size=size)
        noise *= (self.noise, self.at_target)[shape]
        exact = self.surfaces[shape](points)[:, None]
        logs = exact + draw.normal(0, SEED_SHIFT, seeds) + noise
        beyond = points[:, :1] + draw.normal(0, 0.2, size) > self.cliff[shape]
        beyond |= exact > CHANCE
        return Landscape.of_losses(cells, np.where(beyond, np.nan, np.exp(logs)))

    def regret(self, target: Landscape, cell: Cell) -> float:
        """Return the true regret of a cell against the best cell that ran and trained."""
        logs = self.surfaces[1](positions(target.cells))
        place = target.place(cell)
        rivals = target.complete
        rivals[place] = True
        return float(logs[place] - logs[rivals].min())

    def achievable(self, region: Region, target: Landscape, cell: Cell) -> float:
        """Return the true regret against the best rates of a region, or the best cell."""
        axes = [np.linspace(0, steps - 1, 8 * (steps - 1) + 1) for steps in region.inside.shape]
        fine = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        near = region.inside[tuple(np.rint(fine).astype(int).T)]
        points = np.concatenate(
            [region.lowest + region.steps * fine[near], positions(target.cells)]
        )
        losses = self.surfaces[1](points)
        complete = np.concatenate([np.ones(near.sum(), bool), target.complete])
        at_cell = self.surfaces[1](positions((cell,)))[0]
        return float(at_cell - losses[complete].min())


def positions(cells: tuple[Cell, ...]) -> ndarray:
    """Return log2 of the rates of cells (n, 2)."""
    return np.log2([[cell.weight_lr, cell.activity_lr or 1.0] for cell in cells])


def neighbours(cell: Cell) -> tuple[Cell, ...]:
    """Return a cell of the grid and the cells next to it."""
    near = [
        [rate for rate in GRID if abs(np.log2(rate / value)) < 1.5 * STEP]
        for value in (cell.weight_lr, cell.activity_lr or 1.0)
    ]
    return tuple(Cell(eta, beta) for eta in near[0] for beta in near[1])


def bowl(centre: ndarray, curvature: ndarray, turned: bool = False) -> Surface:
    """Return a quadratic; `turned` has its axes along eta beta and eta / beta."""
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2) if turned else np.eye(2)
    return lambda x: 0.5 * (((x - centre) @ turn) ** 2) @ curvature


def skew(centre: ndarray, curvature: ndarray) -> Surface:
    """Return a surface that rises ever faster to high rates, and slowly to low ones."""
    width = 2.5  # octaves

    def surface(x: ndarray) -> ndarray:
        u = (x - centre) / width
        return (np.exp(np.minimum(u, 20)) - u - 1) @ (curvature * width**2)

    return surface


def shifted(draw: np.random.Generator) -> ndarray:
    """Return the optima of the two shapes (2, 2): in two of five worlds the same."""
    tuned = draw.uniform(-1.2, 1.2, 2) * STEP
    moved = draw.random() > 0.4
    return np.stack([tuned, tuned + moved * draw.normal(0, 2.0, 2)])


def curvatures(draw: np.random.Generator) -> ndarray:
    """Return curvatures that raise the loss by 4% to 100% at the neighbouring cell."""
    return np.exp(draw.uniform(np.log(0.03), np.log(0.5), 2))


def curved(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a world with a quadratic optimum."""
    optima, curvature = shifted(draw), curvatures(draw)
    return World(tuple(bowl(o, curvature) for o in optima), optima, noise, ratio * noise)


def ridged(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a world with a valley along eta / beta: only the product of the rates matters."""
    optima = shifted(draw)
    curvature = np.exp(draw.uniform(np.log([0.1, 0.001]), np.log([0.5, 0.01])))
    return World(tuple(bowl(o, curvature, True) for o in optima), optima, noise, ratio * noise)


def skewed(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a world that rises steeply to high rates and ends in a cliff, where runs diverge."""
    optima, curvature = shifted(draw), curvatures(draw)
    tuned, target = (float(o[0] + draw.uniform(1.0, 4.0)) for o in optima)
    surfaces = tuple(skew(o, curvature) for o in optima)
    return World(surfaces, optima, noise, ratio * noise, (tuned, target))


def flat(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a world whose losses differ by at most 2%."""
    optima, size = shifted(draw), draw.uniform(0, 0.01)
    surfaces = tuple(lambda x, o=o: size * np.sin((x - o) / 2).mean(axis=1) for o in optima)
    return World(surfaces, None, noise, ratio * noise)


def plateau(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a world with a level floor, 1 to 3 octaves in radius, and walls around it."""
    optima, curvature = shifted(draw), curvatures(draw)
    radius = draw.uniform(1.0, 3.0)

    def surface(centre: ndarray) -> Surface:
        def losses(x: ndarray) -> ndarray:
            far = np.sqrt(((x - centre) ** 2) @ (curvature / curvature.mean()))
            return 0.5 * curvature.mean() * np.maximum(far - radius, 0) ** 2

        return losses

    return World(tuple(map(surface, optima)), None, noise, ratio * noise)


def bumpy(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a quadratic world with bumps of 2 to 6 octaves, half of them common to the shapes."""
    optima, curvature = shifted(draw), curvatures(draw)
    height = draw.uniform(0.02, 0.1)
    waves = [(draw.normal(size=(3, 2)), draw.uniform(0, 6.3, 3)) for _ in range(3)]

    def surface(centre: ndarray, own: int) -> Surface:
        chosen = (waves[2], waves[own])

        def losses(x: ndarray) -> ndarray:
            bumps = sum(
                np.sin(x @ (v / np.linalg.norm(v, axis=1)[:, None]).T * 1.6 + phase).mean(axis=1)
                for v, phase in chosen
            )
            return bowl(centre, curvature)(x) + height * bumps

        return losses

    return World((surface(optima[0], 0), surface(optima[1], 1)), None, noise, ratio * noise)


def heavy_tailed(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return a quadratic world in which single seeds lie far off."""
    world = curved(draw, noise, ratio)
    return World(world.surfaces, world.optima, noise, ratio * noise, heavy=True)


def unlike(draw: np.random.Generator, noise: float, ratio: float) -> World:
    """Return shapes with optima and curvatures of their own, 1/20 to 20 times the other's."""
    optima = np.stack([shifted(draw)[0], shifted(draw)[0]])
    curvature = curvatures(draw)
    other = curvature * np.exp(draw.uniform(-np.log(20), np.log(20), 2))
    surfaces = (bowl(optima[0], curvature), bowl(optima[1], other))
    return World(surfaces, optima, noise, ratio * noise)


FAMILIES: dict[str, Callable[[np.random.Generator, float, float], World]] = {
    "curved": curved,
    "ridged": ridged,
    "skewed, with a cliff": skewed,
    "flat": flat,
    "plateau": plateau,
    "bumpy": bumpy,
    "heavy tails": heavy_tailed,
    "shapes unlike each other": unlike,
}


@dataclass(frozen=True)
class Line:
    """Landscapes of several depths whose optima follow a power law.

    Attributes:
        surface: the log loss at a depth.
        exponents: of L, by rate.
        noise: the standard deviation of a log loss.
    """

    surface: Callable[[float], Surface]
    exponents: dict[str, float]
    noise: float
    depths: tuple[int, ...] = (4, 8, 16)
    etas: tuple[float, ...] = tuple(float(2 ** (STEP * k)) for k in range(-3, 4))
    betas: tuple[float, ...] = tuple(float(2 ** (STEP * k)) for k in range(-3, 4))

    def observe(self, depth: int, seeds: int, draw: np.random.Generator) -> Landscape:
        """Return the runs of the whole grid at one depth."""
        cells = tuple(Cell(eta, beta) for eta in self.etas for beta in self.betas)
        surface = self.surface(np.log2((depth + 1) / (self.depths[0] + 1)))
        world = World((surface, surface), None, self.noise, self.noise)
        return world.runs(0, cells, seeds, draw)


def line(draw: np.random.Generator, noise: float, kind: str) -> Line:
    """Return a line of one kind, with exponents of L around -1/2 for eta and 0 for beta."""
    start, curvature = draw.uniform(-1.0, 1.0, 2) * STEP, curvatures(draw)
    powers = np.array([draw.uniform(-1.0, 0.2), draw.normal(0, 0.3)])
    flat_side = np.exp(draw.uniform(np.log([0.1, 0.001]), np.log([0.5, 0.01])))

    def surface(octaves: float) -> Surface:
        centre = start + powers * octaves
        if kind == "ridged":
            return bowl(centre, flat_side, True)
        return (skew if kind == "skewed" else bowl)(centre, curvature)

    return Line(
        surface, dict(zip(("weight_lr", "activity_lr"), powers.tolist(), strict=True)), noise
    )


LAW_FAMILIES: dict[str, Callable[[np.random.Generator, float], Line]] = {
    f"law, {kind}": (lambda draw, noise, kind=kind: line(draw, noise, kind))
    for kind in ("curved", "ridged", "skewed")
}
