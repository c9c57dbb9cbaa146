"""The recipes by name, one module a subject."""

from jobs.reproduce.recipe import Recipe
from jobs.reproduce.recipes.depth import DEPTH
from pccore import Registry

RECIPES: Registry[Recipe] = Registry("recipe", {recipe.name: recipe for recipe in (*DEPTH,)})
