"""The section of a spec about targets: where the optimum is rerun, and how it is judged."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Final, Literal

from pydantic import Field, Tag

from results.shapes import Shape
from transfer.spec.fields import (
    MOST_ENTRIES,
    ByType,
    Depth,
    ListOf,
    Neighbourhood,
    Ratio,
    Section,
    Width,
)
from transfer.spec.transfer_rules import Rules, ZeroShot

AUTO: Final = "auto"
FIRST_SEEDS = 2
"""Seeds of every neighbour with which `auto` begins: the fewest of which a verdict is given."""

TargetSeeds = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=MOST_ENTRIES), Tag("integer")]
    | Annotated[Literal["auto"], Tag("string")],
    ByType,
]


class TargetSpec(Section):
    """The size of one target."""

    width: Width = Field(description="The number of units in each hidden layer.")
    depth: Depth = Field(description="The number of hidden layers.")

    @property
    def shape(self) -> Shape:
        """The target's size."""
        return Shape(self.width, self.depth)


class TransferSpec(Section):
    """The targets at which the optimum is rerun, and how it is judged."""

    rules: Rules = Field(
        default=(ZeroShot(),),
        description="Rules that take the tuned learning rates to the targets, one or a list. All "
        "are judged by all cells that run at the target.",
    )
    depths: ListOf[Depth] | None = Field(
        default=None,
        description="Depths of the targets: every depth at every width. Left out, it means the "
        "tuned depth.",
    )
    widths: ListOf[Width] | None = Field(
        default=None,
        description="Widths of the targets: every depth at every width. Left out, it means the "
        "tuned width.",
    )
    targets: ListOf[TargetSpec] | None = Field(
        default=None, description="The targets one by one, instead of depths and widths."
    )
    neighbourhood: Neighbourhood = Field(
        default=1,
        description="Number of places around the transferred cell, in each rate, that also run at "
        "the target, so that the claim can fail; all means every cell. A place is a value of the "
        "list, for a cell off the list the list's mean ratio, and in a range an octave.",
    )
    tolerance: Ratio = Field(
        default=0.1,
        description="Largest relative excess of the loss at the transferred cell over the best "
        "loss found at the target for the optimum to have held.",
    )

    seeds: TargetSeeds | None = Field(
        default=None,
        description="Seeds of every cell at the targets: a number, or auto for two of every "
        "neighbour and then one more at a time of the cells that decide the verdict, until it is "
        "decided or a cell has 12. Left out, it means the seeds of tune.",
    )

    def problems(self, tuned: tuple[int, ...]) -> Iterator[str]:
        """Yield contradictions with the seeds of the tuned shape."""
        if self.seeds == AUTO and len(tuned) < FIRST_SEEDS:
            yield (
                "transfer.seeds must be a number where tune.seeds has one seed, which decides no "
                f"verdict, got {AUTO!r}"
            )

    def order_of_seeds(self, tuned: tuple[int, ...], most: int) -> tuple[int, ...]:
        """Return `most` seeds in the order in which a cell gets them: first those of `tune`."""
        others = (seed for seed in range(most + len(tuned)) if seed not in tuned)
        return tuple(islice((*tuned, *others), most))

    def shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return the targets of an optimum tuned at a shape, in the order of the spec."""
        if self.targets is not None:
            return tuple(target.shape for target in self.targets)
        return tuple(
            Shape(width=width, depth=depth)
            for width in self.widths or (tuned.width,)
            for depth in self.depths or (tuned.depth,)
        )

    def tuned_shapes(self, tuned: Shape) -> tuple[Shape, ...]:
        """Return the shapes to search: the tuned one, and those that a rule is fitted to."""
        others = (shape for rule in self.rules for shape in rule.shapes(tuned))
        return tuple(dict.fromkeys((tuned, *others)))
