"""The frozen, hashable configuration of a training run.

A `TrainingConfig` determines a compiled program. Learning rates and seeds are not part of it but
traced values (`Lane`), so that changing them never recompiles.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pccore.networks.base import AbstractNetworkConfig
from pccore.optimisers import Adam, Optimiser
from pccore.penalties import Penalty
from pccore.rules import LearningRule, PredictiveCoding
from pccore.training.probe import Probe
from pccore.validation import (
    NonNegativeInt,
    PositiveFloat,
    require_at_least,
    require_bounds,
)

CONVENTIONS = 1
"""Version of the numerics; increased when the same settings would give different results."""


@dataclass(frozen=True)
class SpectralActivityLr:
    """beta = c B / lambda_max, from the curvature of each network's own energy.

    lambda_max is the largest eigenvalue of the activity Hessian, per sample B d2F/dz2, at a forward
    pass; for `ErrorBased`, of the Hessian in the errors. It is measured before the first update and
    again every `remeasure` updates, by 16 matrix-free products of Lanczos' method on the first 16
    samples of the training set as stored (or on batch_size, if fewer), as the maximum over them.
    The result is 1 to 2 % low; docs/decisions/spectral-beta.md has the measurements.

    Inference is bounded for c < 2 by gradient descent and for c < 4/3 by Nesterov and the augmented
    Lagrangian (`InferenceScheme.stability_limit`), while lambda_max is that of the measurement.

    Attributes:
        scale: c.
        remeasure: weight updates between measurements; 0 means that beta stays as it began.

    Raises:
        ValueError: `scale` is not positive, or `remeasure` is negative.
    """

    scale: PositiveFloat = 1.0
    remeasure: NonNegativeInt = 25
    source: ClassVar[str] = "pccore.SpectralActivityLr"

    def __post_init__(self) -> None:
        require_bounds(self)


DIVERGENCE_FACTOR = 1e3
"""The usual `TrainingConfig.divergence_factor`: diverged runs can have huge finite losses."""

FEWEST_EVALUATIONS = 5
"""Evaluations of a training that is shorter than `eval_every`: a curve needs several points."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a training run except its data set, learning rates and seed.

    Attributes:
        network: the network to train.
        rule: the learning rule, such as `PredictiveCoding(...)` or `Backpropagation()`.
        optimiser: converts weight gradients into weight updates.
        batch_size: B. The energy is a batch mean, so the activity learning rate depends on B.
        steps: total number of weight updates; the data set is reshuffled every floor(n / B)
            updates. With 0, the untrained network is evaluated and probed.
        eval_every: weight updates between evaluations on the test set; the last update is followed
            by an evaluation too. If it exceeds `steps`, there are `FEWEST_EVALUATIONS`.
        penalties: penalties on the weights, for example `WeightDecay(1e-4)`. Their gradients are
            added to those of the rule; reported losses exclude them.
        probes: measured on the first batch_size training samples, before the first update and at
            every evaluation.
        activity_lr: sets beta of every lane from the spectrum of its own network; the `activity_lr`
            of the lanes is then not used. None: every lane has its own.
        divergence_factor: a run has diverged, and ends, if a batch loss exceeds this many times its
            first value or the loss of predicting zero, whichever is larger. None: only a loss that
            is NaN or infinite ends it.
        batch_shards: number of devices over which a batch is split, each with all weights. It
            changes the layout of the arithmetic, not the result. It needs a rule that treats
            samples independently: backpropagation, or predictive coding by gradient descent from a
            forward pass.

    Raises:
        ValueError: a count is below 1 (`steps`: below 0), `divergence_factor` is not above 1, or
            the shards do not divide the batch or
            the rule does not split batches; or `activity_lr` is given for a rule other than
            predictive coding by a scheme that has a beta.
    """

    network: AbstractNetworkConfig
    rule: LearningRule
    optimiser: Optimiser = field(default_factory=Adam)
    batch_size: int = 64
    steps: int = 937
    eval_every: int = 300
    penalties: tuple[Penalty, ...] = ()
    probes: tuple[Probe[Any], ...] = ()
    activity_lr: SpectralActivityLr | None = None
    divergence_factor: float | None = DIVERGENCE_FACTOR
    batch_shards: int = 1

    def __post_init__(self) -> None:
        require_at_least(self, 0, "steps")
        require_at_least(self, 1, "batch_size", "eval_every", "batch_shards")
        factor = self.divergence_factor
        if factor is not None and not 1 < factor < math.inf:
            raise ValueError(f"divergence_factor must be a number above 1, or None, got {factor}")
        if self.batch_size % self.batch_shards:
            raise ValueError(
                f"batch_shards must divide batch_size {self.batch_size}, got {self.batch_shards}"
            )
        if self.batch_shards > 1 and not self.rule.splits_batches:
            raise ValueError(
                f"batch_shards {self.batch_shards} needs backpropagation, or predictive coding by "
                f"gradient descent from a forward pass; got {self.rule}"
            )
        infers = isinstance(self.rule, PredictiveCoding) and self.rule.needs_activity_lr
        if self.activity_lr is not None and not infers:
            raise ValueError(
                "a spectral activity_lr needs predictive coding by a scheme that has an "
                f"activity_lr, got {self.rule}"
            )

    @property
    def interval(self) -> int:
        """Weight updates between evaluations: `eval_every`, or fewer where that exceeds `steps`."""
        if self.eval_every <= self.steps:
            return self.eval_every
        return max(1, -(-self.steps // FEWEST_EVALUATIONS))


@dataclass(frozen=True)
class Lane:
    """The values that differ between runs of one compiled program.

    Attributes:
        weight_lr: eta of the optimiser, not rescaled by sqrt(N L) (thesis 5.3.1, 5.8).
        activity_lr: beta of z <- z - beta dF/dz, with F the batch-mean energy: at batch size B a
            sample moves by beta/B times its own gradient. None for rules that infer no activities,
            and if the config sets beta from the spectrum.
        seed: determines the initial weights and the order of the data.
    """

    weight_lr: float
    activity_lr: float | None
    seed: int
