"""The source documents' experiments as recipes: run through the pools and the ledger, and scored.

    from jobs.reproduce import RECIPES, perform, scorecard

Each recipe has a `small` scale, minutes on two cores at which the claim can still fail, and a
`full` one with the authors' settings.
"""

from jobs.reproduce.evidence import Evidence, gather
from jobs.reproduce.perform import perform
from jobs.reproduce.recipe import Claim, Judged, Recipe
from jobs.reproduce.recipes import RECIPES
from jobs.reproduce.scorecard import Line, as_markdown, scorecard

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
