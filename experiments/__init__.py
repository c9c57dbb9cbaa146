"""Recipes that rerun the source documents' experiments and score their claims.

    from experiments import RECIPES
    from experiments import perform
    from experiments import scorecard

Each recipe has a `small` scale, which takes minutes on two cores and at which the claim can still
fail, and a `full` scale with the authors' settings. Runs go through the pools and the ledger.
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
