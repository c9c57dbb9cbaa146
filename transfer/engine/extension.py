"""Extending the grid of a search until its optimum is inside (`tune.extend`)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.landscape import NOT_RUN, Cell, Landscape, optimum
from results.shapes import Shape
from transfer.engine.search_runs import Steps
from transfer.space import Grid, Side, Space

Ran = Steps[Landscape]
Run = Callable[[Shape, Sequence[Cell], Sequence[Cell], Space], Ran]
"""Takes a shape, its known cells, new ones and the space of all: runs the new ones, and returns the
landscape of all, the known ones first."""


@dataclass(frozen=True)
class Extended:
    """A search with its extension.

    Attributes:
        landscape: all of its runs.
        space: the cells, those of the extension included.
        original: the cells of the spec.
    """

    landscape: Landscape
    space: Space
    original: Space

    @property
    def added(self) -> dict[str, list[float]]:
        """The values that were added, by rate."""
        found = {}
        for name, values in self.space.searched.items():
            before = self.original.searched[name]
            if isinstance(values, Grid) and isinstance(before, Grid):
                found[name] = [value for value in values.values if value not in before.values]
        return {name: values for name, values in found.items() if values}


def extended(
    shape: Shape, landscape: Landscape, space: Space, most: int, run: Run
) -> Steps[Extended]:
    """Add values on the sides where the optimum lies at the edge, one at a time, and run them.

    It ends when the optimum is inside, or `most` values were added on the sides where it is not.
    What it runs depends on the results alone.

    Args:
        shape: the shape that was searched.
        landscape: the search.
        space: its lists.
        most: the most values on each side of each rate.
        run: runs cells.
    """
    original, used = space, Counter[tuple[str, Side]]()
    while (best := optimum(landscape)) is not None:
        sides = {
            rate: side
            for rate, side in space.edges(best).items()
            if used[rate, side] < most and space.searched[rate].further(side, 1)
        }
        if not sides:
            break
        used.update(sides.items())
        longer = space.extended(sides)
        fresh = [cell for cell in longer.cells if cell not in set(space.cells)]
        found = yield from run(shape, landscape.cells, fresh, longer)
        if not (found.statuses[len(landscape.cells) :] != NOT_RUN).any():
            break  # all are beyond the step limit, or the budget is used up
        landscape, space = found, longer
    return Extended(landscape, space, original)
