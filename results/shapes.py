"""The size of a network."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
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

    @property
    def symbols(self) -> str:
        """The shape in symbols: "N = 128, H = 8"."""
        return f"N = {self.width}, H = {self.depth}"
