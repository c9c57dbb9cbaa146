"""Predictive coding: infer, then learn."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Array, Float

from pccore.inference import InferenceScheme


@dataclass(frozen=True)
class PredictiveCoding:
    """Infer, then learn: the gradient of the energy at the inferred activities (eqs. 5.2, 5.3).

    Attributes:
        inference: how the activities relax.
    """

    inference: InferenceScheme
    infers: ClassVar[bool] = True

    def gradients(
        self,
        network: Any,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, ""], Any]:
        relaxation = network.relaxation(x, y)
        inferred = self.inference.infer(relaxation, activity_lr)
        return relaxation.loss(), relaxation.weight_gradients(inferred.departure)
