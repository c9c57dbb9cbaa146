"""Predictive coding."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Array, Float

from pccore import native
from pccore.inference import GradientDescent, InferenceScheme
from pccore.networks import pallas_descent
from pccore.networks.base import AbstractNetworkConfig, NetworkT
from pccore.relaxation import Scalar
from pccore.rules.base import LearningRule
from pccore.starts import ForwardStart, Start


@dataclass(frozen=True)
class PredictiveCoding(LearningRule):
    """The gradient of the energy at the inferred activities (thesis eqs. 5.2, 5.3).

    Attributes:
        inference: the inference scheme.
        start: the initial activities, by default those of a forward pass.
    """

    inference: InferenceScheme = field()
    start: Start = field(default_factory=ForwardStart)
    infers: ClassVar[bool] = True

    @property
    def splits_batches(self) -> bool:
        """True if each sample of a batch is inferred independently of the others."""
        return self.inference.splits_batches and isinstance(self.start, ForwardStart)

    def path(self, network: AbstractNetworkConfig) -> str:
        if not self._from_forward_pass:
            return native.XLA
        found = native.path(network, self.inference)
        if found == native.XLA and type(self.inference) is GradientDescent:
            return pallas_descent.path(network) or found
        return found

    @property
    def _from_forward_pass(self) -> bool:
        return type(self.start) is ForwardStart

    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        def by_xla(
            network: NetworkT, x: Array, y: Array, activity_lr: Scalar
        ) -> tuple[Array, NetworkT]:
            relaxation = network.relaxation(x, y)
            start = self.start.departure(relaxation, key)
            inferred = self.inference.drawing(key).infer(relaxation, activity_lr, start)
            return relaxation.loss(), inferred.weight_gradients(relaxation)

        if not self._from_forward_pass:
            return by_xla(network, x, y, activity_lr)
        return native.gradients(by_xla, network, self.inference, x, y, activity_lr)
