"""The abstract base class of learning rules."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Array, Float

from pccore import native
from pccore.inference import InferenceScheme
from pccore.networks.base import AbstractNetwork, AbstractNetworkConfig, NetworkT
from pccore.relaxation import Scalar
from pccore.starts import ForwardStart, Start


class LearningRule(ABC):
    """A way to compute the weight gradients of a batch; subclasses are frozen dataclasses.

    Attributes:
        inference: how activities relax; None for rules without an inference phase.
        start: the activities from which inference begins.
    """

    infers: ClassVar[bool] = False
    """True if the rule has an inference phase."""

    infers_input: ClassVar[bool] = False
    """True if the rule infers the input of a network, which evaluations then do too."""

    inference: InferenceScheme | None = None
    start: Start = ForwardStart()

    @property
    def splits_batches(self) -> bool:
        """True if each sample of a batch is treated independently of the others."""
        return False

    @property
    def needs_activity_lr(self) -> bool:
        """True if the gradients depend on beta."""
        return self.inference is not None and self.inference.uses_activity_lr

    def path(self, network: AbstractNetworkConfig) -> str:
        """Return the arithmetic that trains such a network in this process, as ledgers record it:
        "native avx512" (or avx2, neon) for `pccore.native`, "pallas" for the kernel in
        `pccore.networks.pallas_descent`, or "xla"."""
        return native.XLA

    @abstractmethod
    def gradients(
        self,
        network: NetworkT,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
        key: Array,
    ) -> tuple[Float[Array, ""], NetworkT]:
        """Return the training loss of the batch (of the forward pass, before learning) and dF/dW.

        Args:
            network: the weights; their gradients have the same class.
            x: inputs.
            y: targets.
            activity_lr: beta, for the batch-mean energy.
            key: for rules that draw at random; a different one at every step.
        """

    def predict(
        self,
        network: AbstractNetwork,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Scalar,
    ) -> Float[Array, "B K"]:
        """Return the outputs that evaluations compare with `y`: those of a forward pass of `x`."""
        return network.predict(x)
