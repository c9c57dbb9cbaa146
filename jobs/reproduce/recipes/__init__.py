"""The recipes by name, one module a subject."""

from jobs.reproduce.recipe import Recipe
from jobs.reproduce.recipes.activity_decay import ACTIVITY_DECAY
from jobs.reproduce.recipes.conditioning import CONDITIONING
from jobs.reproduce.recipes.conditioning_training import CONDITIONING_TRAINING
from jobs.reproduce.recipes.deepest import DEEPEST
from jobs.reproduce.recipes.depth import DEPTH
from jobs.reproduce.recipes.equilibrated_energy import EQUILIBRATED_ENERGY
from jobs.reproduce.recipes.euler_heun import EULER_HEUN
from jobs.reproduce.recipes.exact_inference import EXACT_INFERENCE
from jobs.reproduce.recipes.faster import FASTER
from jobs.reproduce.recipes.forward_pass import FORWARD_PASS
from jobs.reproduce.recipes.hessians import HESSIANS
from jobs.reproduce.recipes.inference_time import INFERENCE_TIME
from jobs.reproduce.recipes.loss_energy import LOSS_ENERGY
from jobs.reproduce.recipes.matrix_completion import MATRIX_COMPLETION
from jobs.reproduce.recipes.one_unit import ONE_UNIT
from jobs.reproduce.recipes.one_unit_inference import INFERENCE
from jobs.reproduce.recipes.one_unit_updates import UPDATES
from jobs.reproduce.recipes.optima import OPTIMA
from jobs.reproduce.recipes.random_matrices import RANDOM_MATRICES
from jobs.reproduce.recipes.saddle_escape import SADDLE_ESCAPE
from jobs.reproduce.recipes.saddle_landscapes import SADDLE_LANDSCAPES
from jobs.reproduce.recipes.second_order import SECOND_ORDER
from jobs.reproduce.recipes.trajectories import TRAJECTORIES
from jobs.reproduce.recipes.transfer_rates import TRANSFER
from jobs.reproduce.recipes.width import WIDTH
from pccore import Registry

# in the order of the documents' chapters
_ALL = (
    *ONE_UNIT,
    *UPDATES,
    *INFERENCE,
    *SECOND_ORDER,
    *FASTER,
    *EQUILIBRATED_ENERGY,
    *SADDLE_LANDSCAPES,
    *HESSIANS,
    *SADDLE_ESCAPE,
    *MATRIX_COMPLETION,
    *DEPTH,
    *DEEPEST,
    *WIDTH,
    *EXACT_INFERENCE,
    *TRANSFER,
    *OPTIMA,
    *CONDITIONING,
    *ACTIVITY_DECAY,
    *FORWARD_PASS,
    *RANDOM_MATRICES,
    *CONDITIONING_TRAINING,
    *LOSS_ENERGY,
    *TRAJECTORIES,
    *INFERENCE_TIME,
    *EULER_HEUN,
)

RECIPES: Registry[Recipe] = Registry("recipe", {recipe.name: recipe for recipe in _ALL})
