"""The size of a network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The size of a network: `depth` H hidden layers of `width` N units each.

    Attributes:
        width: N.
        depth: H.
    """

    width: int
    depth: int

    def __str__(self) -> str:
        return f"width {self.width}, depth {self.depth}"
