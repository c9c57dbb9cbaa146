"""Inference by an Optax optimiser on the activities."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import optax
from jaxtyping import Array, PyTree

from pccore.inference.base import FixedSteps, Inference
from pccore.inference.iteration import Iterate, iterate
from pccore.optimisers import Optimiser
from pccore.registry import Registry
from pccore.relaxation import Departure, Relaxation, Scalar

# Optimisers whose updates are proportional to their learning rate, so that beta can be traced.
OPTAX: Registry[Callable[..., optax.GradientTransformation]] = Registry(
    "Optax optimiser",
    {
        name: getattr(optax, name)
        for name in (
            "adabelief",
            "adadelta",
            "adagrad",
            "adam",
            "adamax",
            "adamw",
            "amsgrad",
            "lamb",
            "lars",
            "lion",
            "nadam",
            "novograd",
            "radam",
            "rmsprop",
            "sgd",
            "sm3",
            "yogi",
        )
    },
)


@dataclass(frozen=True)
class ActivityOptimiser(FixedSteps):
    """z <- z + beta u(dF/dz, z), u the update of an optimiser with learning rate 1.

    The optimiser receives the gradient of the batch-mean energy, so "sgd" is `GradientDescent`, and
    the eps of Adam compares with 1/B of a sample's gradient. Its state is reset for every batch.
    The thesis uses Adam in figure C.8.

    Attributes:
        steps: T.
        optimiser: a name in `pccore.inference.activity_optimiser.OPTAX`, with Optax's defaults; in
            Python also a `pccore.Optimiser`, such as `pccore.SGD(momentum=0.9)`.

    Raises:
        ValueError: `steps` is below one, or the optimiser is not in the registry.
    """

    optimiser: str | Optimiser = "adam"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._transformation()

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps of the optimiser."""
        transformation, B = self._transformation(), relaxation.batch_size

        def advance(now: Iterate) -> Iterate:
            slopes = jax.tree.map(lambda g: g / B, relaxation.gradient(now.departure))
            z = relaxation.activities(now.departure)  # for weight decay and trust ratios
            updates, memory = transformation.update(slopes, now.memory, z)
            moved = jax.tree.map(lambda d, u: d + activity_lr * u, now.departure, updates)
            return Iterate(moved, memory, now.done)

        start = relaxation.origin() if departure is None else departure
        first = Iterate(start, transformation.init(relaxation.activities(start)))
        last, _, observed = iterate(advance, first, self.steps, observe)
        return Inference(last.departure, self.steps, observed=observed)

    def _transformation(self) -> optax.GradientTransformation:
        """Return the optimiser with learning rate 1, including the sign of descent."""
        if isinstance(self.optimiser, str):
            return OPTAX[self.optimiser](learning_rate=1.0)
        return optax.chain(self.optimiser.transformation(), optax.scale(-1.0))
