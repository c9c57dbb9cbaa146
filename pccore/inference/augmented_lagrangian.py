"""Augmented-Lagrangian predictive coding: descent on activities, ascent on multipliers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pccore.inference.base import Inference, InferenceScheme
from pccore.inference.iteration import Iterate, iterate
from pccore.relaxation import AugmentedRelaxation, Departure, Relaxation, Scalar, descend
from pccore.validation import PositiveInt, require_bounds


@dataclass(frozen=True)
class AugmentedLagrangian(InferenceScheme):
    """PC-ALM (Seely and Gould, 2026, arXiv:2605.31022): every hidden layer's prediction is a
    constraint r_l = z_l - f_l(z_{l-1}) = 0 with a multiplier lambda_l.

    In scaled form, with precisions p_l, activity decay alpha and output energy E,

        L(z, lambda) = (1/B) sum_i [ sum_l p_l/2 ||r_l + lambda_l||^2 + alpha/2 ||z_l||^2
                                     + p_L E(y, f_L(z_H)) ]

    One step is z <- z - beta dL/dz, then lambda <- lambda + r(z); the last step has no second half.
    Weights descend L at the end, so r_l + lambda_l is the local credit of layer l. It tends to
    backpropagation's adjoint, because the constraints hold only at a forward pass.

    On a linear network the iteration is bounded for beta lambda_max / B < 4/3, lambda_max the
    largest eigenvalue of the activity Hessian B d2F/dz2. The wave of `GradientDescent` applies:
    after t steps only the top t layers have moved or have multipliers. Use T = 2H or more.

    Attributes:
        steps: T.

    Raises:
        ValueError: `steps` is below one; in `infer`, a network without these residuals.
    """

    steps: PositiveInt
    uses_activity_lr: ClassVar[bool] = True
    stable_limit: ClassVar[float | None] = 4 / 3
    splits_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def step_limit(self) -> int:
        return self.steps

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Scalar,
        departure: Departure | None = None,
        observe: Callable[[Departure], PyTree[Array]] | None = None,
    ) -> Inference[Departure]:
        """Take T steps. beta applies to the batch mean, hence beta/B to each sample's gradient."""
        if not isinstance(relaxation, AugmentedRelaxation):
            raise ValueError(
                "augmented_lagrangian needs a network in which every layer is predicted by the one "
                f"below only, got a {type(relaxation).__name__}"
            )
        augmented: AugmentedRelaxation[Departure] = relaxation
        rate = activity_lr / relaxation.batch_size

        # A step's dual half is the beginning of the next one, which computes the residuals anyway.
        def advance(layers: tuple[Departure, ...], _: None) -> tuple[tuple[Departure, ...], None]:
            z, multipliers = layers
            multipliers, slopes = augmented.dual_step(z, multipliers)
            return (descend(z, slopes, rate), multipliers), None

        if departure is None and observe is None:
            (z, multipliers), _ = augmented.iterate_from_start(advance, 2, None, self.steps)
            return Inference(z, self.steps, multipliers=multipliers)
        first = relaxation.origin() if departure is None else departure
        # cancels the first dual half: multipliers are zero until the first primal step
        start = Iterate(first, jax.tree.map(jnp.negative, augmented.errors_of(first)))

        def forward(now: Iterate) -> Iterate:
            (z, multipliers), _ = advance((now.departure, now.memory), None)
            return Iterate(z, multipliers, now.done)

        last, _, observed = iterate(forward, start, self.steps, observe)
        return Inference(last.departure, self.steps, observed=observed, multipliers=last.memory)
