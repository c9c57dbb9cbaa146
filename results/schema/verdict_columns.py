"""Columns of the table `verdicts`: name, type, unit and meaning, as in `columns`."""

from results.schema.column import (
    LOSS,
    OF_ACTIVITY_LR,
    OF_LAYERS,
    OF_MIN_TRAIN_LOSS,
    OF_WEIGHT_LR,
    Column,
    key,
)
from results.vocabulary import RATES, SIZES, ZERO_SHOT, VerdictLabel


def _interval(name: str, what: str, unit: str, since: int = 1) -> tuple[Column, ...]:
    """Return a quantity and the bounds of its 95% interval."""
    return (Column(name, "float64", what, unit, since=since), *_bounds(name, unit, since))


def _bounds(name: str, unit: str, since: int) -> tuple[Column, ...]:
    sides = (("low", "lower"), ("high", "upper"))
    return tuple(
        Column(
            f"{name}_{end}",
            "float64",
            f"{side} bound of the 95% interval of {name}; null with one seed, and at an open side",
            unit,
            since=since,
        )
        for end, side in sides
    )


def _exponent(rate: str, size: str) -> tuple[Column, ...]:
    """Return the exponent by which a rule scales a rate from the tuned shape to the target."""
    letter, symbol = {"depth": ("q", "L/L0"), "width": ("p", "N/N0")}[size]
    what = (
        f"{letter} in {rate} = tuned {rate} ({symbol})^{letter}, L = H + 1; null where the rule "
        "has no such exponent; a prescribed exponent has no bounds"
    )
    return _interval(f"{rate}_{size}_exponent", what, "powers", since=3)


VERDICTS = (
    key("experiment", "string", "name of the experiment"),
    key("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    key("dataset", "string", "name of the data set"),
    key("activation", "string", "name of the activation"),
    Column("tune_width", "int64", "N of the tuned shape", "units"),
    Column("tune_depth", "int64", "H of the tuned shape", "layers"),
    key("width", "int64", "N of the target", "units"),
    key("depth", "int64", "H of the target", "layers"),
    Column("weight_lr", "float64", f"{OF_WEIGHT_LR}, at the transferred cell", "per weight update"),
    Column(
        "activity_lr", "float64", f"{OF_ACTIVITY_LR}; at the transferred cell", "per inference step"
    ),
    Column(
        "loss",
        "float64",
        "mean final training loss at the transferred cell; null if it did not train",
        LOSS,
    ),
    Column("accuracy", "float64", "mean test accuracy at the transferred cell", "fraction"),
    Column("accuracy_std", "float64", "standard deviation of accuracy over seeds", "fraction"),
    Column("best_weight_lr", "float64", "eta of the best cell at the target", "per weight update"),
    Column(
        "best_activity_lr", "float64", "beta of the best cell at the target", "per inference step"
    ),
    Column("best_loss", "float64", "mean final training loss of the best cell at the target", LOSS),
    *_interval(
        "regret",
        "log(loss at the transferred cell / loss of the best cell that ran and trained at the "
        "target), which the verdict judges",
        "nats",
    ),
    *_interval("drift_weight_lr", "log2(best eta at the target / best tuned eta)", "octaves"),
    *_interval("drift_activity_lr", "log2(best beta at the target / best tuned beta)", "octaves"),
    Column("min_train_loss", "float64", f"{OF_MIN_TRAIN_LOSS}, at the transferred cell", LOSS),
    Column(
        "seeds", "int64", "seeds per cell; if seeds were added, of the transferred cell", "seeds"
    ),
    Column("cells", "int64", "cells that ran at the target", "cells"),
    Column("runs_trained", "int64", "runs at the target that trained", "runs"),
    Column("runs_at_chance", "int64", "runs at the target that stayed at chance", "runs"),
    Column("runs_diverged", "int64", "runs at the target that diverged", "runs"),
    Column("runs_failed", "int64", "runs at the target that failed", "runs"),
    Column(
        "verdict",
        "string",
        "verdict label: held, drifted, inconclusive, untrained or edge",
        required=True,
        allowed=tuple(VerdictLabel),
    ),
    Column("reason", "string", "reason for the verdict, in one sentence with the numbers"),
    Column(
        "created",
        "timestamp",
        "time of the verdict, later than in every row that its writer knew; the newest counts",
        "UTC",
        required=True,
    ),
    Column("spec", "string", "spec of the experiment, as JSON"),
    Column(
        "rule",
        "string",
        "transfer rule that took the learning rates from the tuned shapes to the target",
        fixed=True,
        required=True,
        since=3,
        absent=ZERO_SHOT,
    ),
    *_bounds("weight_lr", "per weight update", since=3),
    *_bounds("activity_lr", "per inference step", since=3),
    *(column for rate in RATES for size in SIZES for column in _exponent(rate, size)),
    Column("layers", "int64", OF_LAYERS, "layers", since=4),
    Column(
        "layers_learned",
        "int64",
        "layers that learned at the transferred cell, as in runs: the median over the seeds of "
        "accuracy, the lower of two",
        "layers",
        since=4,
    ),
    Column(
        "shallow",
        "bool",
        "whether fewer than half of the layers learned at the transferred cell; null where it was "
        "not recorded",
        since=4,
    ),
    Column(
        "run_ids",
        "string",
        "ids of judged runs, one for every shape of the experiment, as JSON; null where they were "
        "not recorded",
        since=5,
    ),
    Column(
        "held_probability",
        "float64",
        "probability that the regret is within the tolerance; null with one seed",
        "fraction",
        since=8,
    ),
    *_interval(
        "regret_achievable",
        "log(loss at the transferred cell / loss at the best rates between the cells that ran at "
        "the target); the verdict does not judge it",
        "nats",
        since=8,
    ),
    *_interval("optimum_weight_lr", "best eta at the target", "per weight update", since=8),
    *_interval("optimum_activity_lr", "best beta at the target", "per inference step", since=8),
    Column(
        "rates",
        "string",
        "for a training function of the user's, all columns about its rates by their name, as "
        "JSON, such as lr, best_lr, drift_lr and drift_lr_low for the rate lr; frames have them as "
        "columns; null for networks of mupc's",
        since=9,
    ),
    *_interval(
        "tune_optimum_weight_lr", "best eta at the tuned shape", "per weight update", since=10
    ),
    *_interval(
        "tune_optimum_activity_lr", "best beta at the tuned shape", "per inference step", since=10
    ),
    Column(
        "seeds_added",
        "int64",
        "runs added at the target until the verdicts on it were decided; null where the number of "
        "seeds was fixed",
        "runs",
        since=10,
    ),
    Column(
        "added",
        "string",
        "the added runs as JSON, a list of {rates, seeds, why}; why is transferred, best, better "
        "or beyond; null where the number of seeds was fixed",
        since=10,
    ),
    Column(
        "seeds_needed",
        "int64",
        "about how many seeds would decide an inconclusive verdict; null for other verdicts, where "
        "losses were not compared, and above 100",
        "seeds",
        since=10,
    ),
    Column(
        "tune_accuracy",
        "float64",
        "mean test accuracy of the tuned optimum at the tuned shape",
        "fraction",
        since=10,
    ),
    Column(
        "collapsed",
        "bool",
        "whether the accuracy at the transferred cell is more than 0.15 below that of the tuned "
        "shape; null where either is unknown",
        since=10,
    ),
    Column(
        "operations",
        "float64",
        "floating-point operations of the recorded runs of the search and at the target; null for "
        "training functions",
        "FLOP",
        since=10,
    ),
    Column(
        "operations_direct",
        "float64",
        "floating-point operations of the same search at the target instead; null for training "
        "functions",
        "FLOP",
        since=10,
    ),
    Column(
        "values_added",
        "string",
        "values by which tune.extend extended the grid, as JSON, a list of {width, depth, rate, "
        "values}; null without tune.extend",
        since=10,
    ),
    Column(
        "runs_left_out",
        "int64",
        "runs of the search and at the target that were left out because the budget was used up; "
        "null without a budget",
        "runs",
        since=10,
    ),
)
