"""Words that the ledger stores, and their names in messages, figures and the report.

The other packages import them from here, so that each is spelled once.
"""

from collections.abc import Mapping
from enum import StrEnum


class OutcomeLabel(StrEnum):
    """How a run ended. The values are those of `pccore.Status`."""

    TRAINED = "trained"
    AT_CHANCE = "at_chance"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def text(self) -> str:
        """The outcome in words: "at chance"."""
        return self.replace("_", " ")


class Phase(StrEnum):
    """The part of an experiment that a run belongs to."""

    TUNE = "tune"
    TRANSFER = "transfer"
    REPRODUCE = "reproduce"


class VerdictLabel(StrEnum):
    """The verdict on the transfer of a tuned optimum to a target shape."""

    HELD = "held"
    """The regret is within the tolerance, with a probability of at least 95%."""
    DRIFTED = "drifted"
    """The regret is beyond the tolerance with that probability, or the cell did not train."""
    INCONCLUSIVE = "inconclusive"
    """The runs do not decide."""
    UNTRAINED = "untrained"
    """No cell trained at the target, so that there is nothing to compare."""
    EDGE = "edge"
    """Not drifted, but an optimum lies on the edge of the grid: a better one may lie beyond."""


class AddedFor(StrEnum):
    """Why a run was added at a target, beyond the first seeds of the neighbours."""

    TRANSFERRED = "transferred"
    """It is of the transferred cell, whose loss every comparison has."""
    BEST = "best"
    """Its cell may be the best."""
    BETTER = "better"
    """Its cell may be better than the transferred one by more than the tolerance."""
    BEYOND = "beyond"
    """Its cell lies beyond the tuned grid, where the optimum may be."""

    @property
    def text(self) -> str:
        """The reason in words."""
        return {
            AddedFor.TRANSFERRED: "the transferred cell",
            AddedFor.BEST: "may be the best",
            AddedFor.BETTER: "may be better by more than the tolerance",
            AddedFor.BEYOND: "beyond the tuned grid, where the optimum may be",
        }[self]


SHALLOW = "shallow"
"""The flag beside the label of a verdict where fewer than half of the layers learned."""

COLLAPSED = "collapsed"
"""The flag where the accuracy at the target is far below that of the tuned shape, so that the label
compares cells of which none may be useful."""


def flags(row: Mapping[str, object]) -> list[str]:
    """Return the flags beside the label of a row of `verdicts`."""
    return [flag for flag in (SHALLOW, COLLAPSED) if row.get(flag) is True]


VERDICT_PHRASES: dict[str, str] = {
    VerdictLabel.HELD: "transfer held",
    VerdictLabel.DRIFTED: "the optimum drifted",
    VerdictLabel.INCONCLUSIVE: "the evidence is inconclusive",
    VerdictLabel.UNTRAINED: "no cell trained",
    VerdictLabel.EDGE: "the optimum lies on the edge of the searched grid",
}

RATES = ("weight_lr", "activity_lr")
"""The two learning rates of predictive coding, in the order of every list and table. A training
function of the user's has rates with names of its own."""
RATE_NAMES = {"weight_lr": "eta", "activity_lr": "beta"}
"""Names in plain text: the terminal, reasons of verdicts, error messages."""
RATE_SYMBOLS = {"weight_lr": "η", "activity_lr": "β"}
"""Symbols in figures and in the report."""
RATE_LABELS = {"weight_lr": "η, weight learning rate", "activity_lr": "β, activity learning rate"}
"""Labels of axes."""


def rate_name(rate: str) -> str:
    """Return the name of any rate in plain text; one of the user's is its own."""
    return RATE_NAMES.get(rate, rate)


def rate_symbol(rate: str) -> str:
    """Return the symbol of any rate."""
    return RATE_SYMBOLS.get(rate, rate)


def rate_label(rate: str) -> str:
    """Return the label of an axis of any rate."""
    return RATE_LABELS.get(rate, rate.replace("_", " "))


NO_ACTIVATION = "none"
"""What rows of a training function of the user's have in the place of an activation."""

SIZES = ("depth", "width")
"""The two sizes of a network, in the order of every law."""
SIZE_SYMBOLS = {"depth": "L", "width": "N"}
"""Symbols in power laws: L = H + 1 weight matrices, N units per hidden layer."""

ZERO_SHOT = "zero_shot"
DEPTH_MUP = "depth_mup"
EXPONENTS = "exponents"
FITTED = "fitted"
TRANSFER_RULE_NAMES = (ZERO_SHOT, DEPTH_MUP, EXPONENTS, FITTED)
"""Rules that take learning rates from the tuned shapes to a target."""
