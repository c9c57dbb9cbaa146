"""What a training run is made of. All frozen and hashable.

A `TrainingConfig` determines a compiled program. Learning rates and seeds are not in it: they are
traced values (`Lane`), so that changing one never compiles anything again.
"""

from dataclasses import dataclass, field

from pccore.networks.base import AbstractNetworkConfig
from pccore.optimisers import Adam, Optimiser
from pccore.penalties import Penalty
from pccore.rules import LearningRule
from pccore.training.probe import Probe
from pccore.validation import require_at_least


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a training run except its data set, learning rates and seed.

    Attributes:
        network: the network to train.
        rule: how weight gradients come about: `PredictiveCoding(...)` or `Backpropagation()`.
        optimiser: what turns weight gradients into weight updates.
        batch_size: B. The activity learning rate depends on it: the energy is a batch mean.
        steps: weight updates in all; the data set is reshuffled every floor(n / B) updates. With 0
            the untrained network is evaluated and probed.
        eval_every: weight updates between two evaluations on the test set (and after the last).
        penalties: on the weights, for example `WeightDecay(1e-4)`; their gradients are added to the
            rule's. The losses that a run reports are without them.
        probes: measured on the first batch_size training samples, before the first update and at
            every evaluation.
        batch_shards: how the arithmetic is laid out, not what it computes: the batch is split over
            so many devices, each with all weights. For backpropagation, and predictive coding by
            gradient descent from a forward pass, which treat every sample alone.

    Raises:
        ValueError: a count below 1 (`steps`: below 0), or shards that do not divide the batch or do
            not suit the rule.
    """

    network: AbstractNetworkConfig
    rule: LearningRule
    optimiser: Optimiser = field(default_factory=Adam)
    batch_size: int = 64
    steps: int = 937
    eval_every: int = 300
    penalties: tuple[Penalty, ...] = ()
    probes: tuple[Probe, ...] = ()
    batch_shards: int = 1

    def __post_init__(self) -> None:
        require_at_least(self, 0, "steps")
        require_at_least(self, 1, "batch_size", "eval_every", "batch_shards")
        if self.batch_size % self.batch_shards:
            raise ValueError(
                f"batch_shards must divide batch_size {self.batch_size}, got {self.batch_shards}"
            )
        if self.batch_shards > 1 and not self.rule.splits_batches:
            raise ValueError(
                f"batch_shards {self.batch_shards} needs backpropagation, or predictive coding by "
                f"gradient descent from a forward pass; got {self.rule}"
            )


@dataclass(frozen=True)
class Lane:
    """What distinguishes runs that share a compiled program.

    Attributes:
        weight_lr: eta of the optimiser, not rescaled by sqrt(N L) (thesis 5.3.1, 5.8).
        activity_lr: beta of z <- z - beta dF/dz, F the batch-mean energy: at batch size B a sample
            moves by beta/B of its own gradient. None for rules that infer no activities.
        seed: determines the initial weights and the order of the data.
    """

    weight_lr: float
    activity_lr: float | None
    seed: int
