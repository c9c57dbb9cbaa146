"""What every learning rule takes and returns."""

from typing import Any, ClassVar, Protocol

from jaxtyping import Array, Float


class LearningRule(Protocol):
    """Gives the weight gradients of one batch."""

    infers: ClassVar[bool]
    """Whether the rule has an inference phase, hence an activity learning rate."""

    def gradients(
        self,
        network: Any,
        x: Float[Array, "B *D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, ""], Any]:
        """The training loss of the batch (of the forward pass, before learning) and dF/dW.

        Args:
            network: the weights; their gradients come in the same shape.
            x: inputs.
            y: targets.
            activity_lr: beta, for the batch-mean energy.
            key: for rules that draw at random; another one every step.
        """
        ...
