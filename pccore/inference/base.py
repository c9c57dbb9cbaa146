"""What every inference scheme takes and returns."""

from typing import NamedTuple, Protocol

from jaxtyping import Array, Float

from pccore.networks import Network


class Inference(NamedTuple):
    """The result of an inference phase.

    Attributes:
        activities: z_1 .. z_H.
        errors: e_l of the top m hidden layers, those that can have left their start; the errors of
            the layers below are exactly zero.
    """

    activities: Float[Array, "H B N"]
    errors: Float[Array, "m B N"]


class InferenceScheme(Protocol):
    """Relaxes the activities of a network whose input and output are clamped."""

    def infer(
        self,
        network: Network,
        start: Float[Array, "H B N"],
        x: Float[Array, "B D"],
        y: Float[Array, "B K"],
        activity_lr: Float[Array, ""],
    ) -> Inference:
        """Lower the energy from `start`, the activities of a forward pass."""
        ...
