"""What every inference scheme takes and returns."""

from typing import Generic, NamedTuple, Protocol

from jaxtyping import Array, Bool, Float, Int

from pccore.relaxation import Departure, Relaxation


class Inference(NamedTuple, Generic[Departure]):
    """The result of an inference phase.

    Attributes:
        departure: how the activities have departed from their start; `relaxation.activities` and
            `relaxation.weight_gradients` take it.
        steps: gradient evaluations, or iterations, taken.
        converged: whether the scheme's own criterion was met; None for schemes without one.
    """

    departure: Departure
    steps: Int[Array, ""] | int
    converged: Bool[Array, ""] | None = None


class InferenceScheme(Protocol):
    """Relaxes the activities of a network whose input and output are clamped."""

    def infer(
        self,
        relaxation: Relaxation[Departure],
        activity_lr: Float[Array, ""],
        departure: Departure | None = None,
    ) -> Inference[Departure]:
        """Lower the energy.

        Args:
            relaxation: the energy of a batch.
            activity_lr: beta, for the batch-mean energy.
            departure: where to begin; None for the start itself.
        """
        ...
