"""Outcomes of runs: values, not exceptions."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from pccore.training.probe import Reading


class Status(StrEnum):
    """The final status of a run."""

    TRAINED = "trained"
    AT_CHANCE = "at_chance"  # all steps were taken, but the network predicts no better than chance
    DIVERGED = "diverged"  # the loss stopped being finite, or blew up and stayed finite
    PRUNED = "pruned"  # stopped on request after `steps` updates, before its last one
    FAILED = "failed"  # no result: the machine or the program failed, see `cause`


@dataclass(frozen=True)
class Curve:
    """Training over time, one entry per evaluation; NaN where a value does not exist.

    Attributes:
        step: weight updates done.
        train_loss: mean training loss per sample over the updates since the last entry.
        test_loss: loss per sample on the test set.
        test_accuracy: share of test samples classified correctly; NaN for regressions.
    """

    step: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    train_loss: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    test_loss: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    test_accuracy: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


LEARNED = 0.01
"""The relative RMS change of a weight matrix above which its layer counts as one that learned."""


@dataclass(frozen=True)
class Outcome:
    """The result of one run. Values that do not exist are None.

    Attributes:
        status: how the run ended.
        final_train_loss: mean training loss per sample (batch loss before each update) over the
            last tenth of the steps; None unless trained. The curve has the losses of a run at
            chance.
        min_train_loss: the smallest single-batch training loss, the thesis's metric. It rewards
            runs that diverge later, so it is not used for selection.
        test_loss: loss per sample on the test set after the last step; None unless trained.
        test_accuracy: share of test samples classified correctly after the last step; None for
            regressions.
        steps: weight updates done.
        diverged_step: the first update (counted from 1) whose batch loss had blown up: it was NaN
            or above 1,000 times the first loss (or that of predicting zero, if larger), or above 10
            times these if the mean of the last tenth of the steps was, too
            (`TrainingConfig.divergence_factor` is the 1,000).
        cause: the reason of a failure, in one sentence, or of a divergence where it is known:
            inference that left its stable region (`SpectralActivityLr`).
        curve: training over time.
        layer_changes: RMS change of every weight matrix over its initial RMS, W_1 first (L,); NaN
            if diverged, empty if failed.
        readings: measurements of the probes, before the first update and at every evaluation.
    """

    status: Status
    final_train_loss: float | None = None
    min_train_loss: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    steps: int = 0
    diverged_step: int | None = None
    cause: str | None = None
    curve: Curve = field(default_factory=Curve)
    layer_changes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    readings: tuple[Reading, ...] = ()

    @property
    def layers(self) -> int | None:
        """L, the number of weight matrices; None if failed."""
        return len(self.layer_changes) or None

    @property
    def layers_learned(self) -> int | None:
        """The number of weight matrices that changed by more than `LEARNED`; None if unknown."""
        if self.status in (Status.DIVERGED, Status.FAILED) or self.layers is None:
            return None
        return int((self.layer_changes > LEARNED).sum())

    @staticmethod
    def failed(cause: str) -> "Outcome":
        """Return the outcome of a run that could not be completed."""
        return Outcome(Status.FAILED, cause=cause)
