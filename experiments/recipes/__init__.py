"""The recipes by name; each module covers one subject."""

from experiments.recipe import Recipe
from experiments.recipes.activity_decay import ACTIVITY_DECAY
from experiments.recipes.alternatives import ALTERNATIVES
from experiments.recipes.conditioning import CONDITIONING
from experiments.recipes.conditioning_training import CONDITIONING_TRAINING
from experiments.recipes.deepest import DEEPEST
from experiments.recipes.depth import DEPTH
from experiments.recipes.effective_depth import EFFECTIVE_DEPTH
from experiments.recipes.equilibrated_energy import EQUILIBRATED_ENERGY
from experiments.recipes.equilibrium_propagation import EQUILIBRIUM_PROPAGATION
from experiments.recipes.euler_heun import EULER_HEUN
from experiments.recipes.exact_inference import EXACT_INFERENCE
from experiments.recipes.faster import FASTER
from experiments.recipes.forward_pass import FORWARD_PASS
from experiments.recipes.frontier import FRONTIER
from experiments.recipes.hessians import HESSIANS
from experiments.recipes.higher_rank import HIGHER_RANK
from experiments.recipes.inference_time import INFERENCE_TIME
from experiments.recipes.joint_law import JOINT_LAW
from experiments.recipes.loss_energy import LOSS_ENERGY
from experiments.recipes.matrix_completion import MATRIX_COMPLETION
from experiments.recipes.one_unit import ONE_UNIT
from experiments.recipes.one_unit_inference import INFERENCE
from experiments.recipes.one_unit_updates import UPDATES
from experiments.recipes.optima import OPTIMA
from experiments.recipes.order import ORDER
from experiments.recipes.partial_scalings import PARTIAL_SCALINGS
from experiments.recipes.published_depth import PUBLISHED_DEPTH
from experiments.recipes.random_matrices import RANDOM_MATRICES
from experiments.recipes.saddle_escape import SADDLE_ESCAPE
from experiments.recipes.saddle_landscapes import SADDLE_LANDSCAPES
from experiments.recipes.second_order import SECOND_ORDER
from experiments.recipes.trajectories import TRAJECTORIES
from experiments.recipes.transfer_rates import TRANSFER
from experiments.recipes.width import WIDTH
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
    *ORDER,
    *MATRIX_COMPLETION,
    *HIGHER_RANK,
    *DEPTH,
    *DEEPEST,
    *WIDTH,
    *ALTERNATIVES,
    *PARTIAL_SCALINGS,
    *EXACT_INFERENCE,
    *TRANSFER,
    *OPTIMA,
    *CONDITIONING,
    *ACTIVITY_DECAY,
    *FORWARD_PASS,
    *RANDOM_MATRICES,
    *EQUILIBRIUM_PROPAGATION,
    *CONDITIONING_TRAINING,
    *LOSS_ENERGY,
    *TRAJECTORIES,
    *INFERENCE_TIME,
    *EULER_HEUN,
    *EFFECTIVE_DEPTH,
    *FRONTIER,
    *JOINT_LAW,
    *PUBLISHED_DEPTH,
)

RECIPES: Registry[Recipe] = Registry("recipe", {recipe.name: recipe for recipe in _ALL})
