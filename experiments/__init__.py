"""The source documents' experiments as recipes: run through the pools and the ledger, and scored.

    from experiments import RECIPES
    from experiments import perform
    from experiments import scorecard

Each recipe has a `small` scale, minutes on two cores at which the claim can still fail, and a
`full` one with the authors' settings.
"""

from experiments.evidence import Evidence, gather
from experiments.perform import perform
from experiments.recipe import Claim, Judged, Recipe
from experiments.recipes import RECIPES
from experiments.scorecard import Line, as_markdown, scorecard

__all__ = [
    "RECIPES",
    "Claim",
    "Evidence",
    "Judged",
    "Line",
    "Recipe",
    "as_markdown",
    "gather",
    "perform",
    "scorecard",
]
