"""Every column of the ledger: name, type, unit and meaning.

A null means that the value does not exist: it is never written as zero, and NaN stays NaN. For
settings that were added later (`_added`) the description names the value that a null stands for.
"""

from dataclasses import dataclass

from results.schema.types import TypeName
from results.vocabulary import RATES, SIZES, ZERO_SHOT, OutcomeLabel, Phase, VerdictLabel

LOSS = "loss per sample"
"""0.5 squared error summed over outputs, or cross-entropy in nats, by the run's `output`."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: the name in frames, filters and files.
        type: a key of `results.schema.types.TYPES`; timestamps are in microseconds, UTC.
        description: what the column holds, and when it is null.
        unit: the unit of its numbers; empty where there is none.
        fixed: whether all rows with the same key have the same value.
        required: whether a row without a value is refused.
        allowed: the only values that the column may hold; empty where any value is allowed.
        since: the first schema version that has the column.
        absent: the value that rows without one have, those of older files included.
        of_trained: whether only runs that trained have a value: in others it is null, whatever was
            written.
    """

    name: str
    type: TypeName
    description: str
    unit: str = ""
    fixed: bool = False
    required: bool = False
    allowed: tuple[str, ...] = ()
    since: int = 1
    absent: str | None = None
    of_trained: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("int64", "float64")


def _key(name: str, type: TypeName, description: str, unit: str = "") -> Column:
    """Return a required column that is part of what a row is about."""
    return Column(name, type, description, unit, fixed=True, required=True)


def _setting(name: str, type: TypeName, description: str, unit: str = "") -> Column:
    """Return a column whose value was set before the run started."""
    return Column(name, type, description, unit, fixed=True)


def _added(name: str, type: TypeName, description: str, unit: str = "", since: int = 2) -> Column:
    """Return a setting added by a later version; null stands for the value that older rows had."""
    return Column(name, type, description, unit, fixed=True, since=since)


_WEIGHT_LR = "eta, learning rate of the weight optimiser"
_ACTIVITY_LR = (
    "beta, step size of inference; the energy is a mean over the batch, so compare beta only at "
    "equal batch_size; null without inference, for a scheme without a step size, or if beta is set "
    "from the spectrum (inference_options)"
)
_LAYERS = "L, weight matrices of the network; null where it was not recorded"
_MIN_TRAIN_LOSS = "smallest training loss of any batch, the metric of the thesis"

RUNS = (
    _key("run_id", "string", "hash of everything that determines the result of the run"),
    _key("experiment", "string", "name of the experiment that the run belongs to"),
    Column(
        "phase",
        "string",
        "part of the experiment: tune (search), transfer (target shapes) or reproduce",
        required=True,
        allowed=tuple(Phase),
    ),
    _setting("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    _setting(
        "dataset",
        "string",
        "name of the data set; of a training function of the user's, its name and the digest of "
        "its code",
    ),
    _setting("activation", "string", "name of the activation"),
    _setting("width", "int64", "N, units per hidden layer", "units"),
    _setting("depth", "int64", "H, hidden layers", "layers"),
    _setting("weight_lr", "float64", _WEIGHT_LR, "per weight update"),
    _setting("activity_lr", "float64", _ACTIVITY_LR, "per inference step"),
    _setting("batch_size", "int64", "B, samples per weight update", "samples"),
    _setting("seed", "int64", "random seed of the initial weights and of the order of the data"),
    Column("outcome", "string", "how the run ended", required=True, allowed=tuple(OutcomeLabel)),
    Column(
        "final_train_loss",
        "float64",
        "mean training loss over the last tenth of the weight updates; null unless the run "
        "trained (curves has the losses of a run at chance)",
        LOSS,
        of_trained=True,
    ),
    Column("min_train_loss", "float64", _MIN_TRAIN_LOSS, LOSS),
    Column(
        "test_accuracy",
        "float64",
        "fraction of test samples classified correctly after the last update; null for regressions",
        "fraction",
    ),
    Column(
        "seconds",
        "float64",
        "wall-clock time of the run's group divided by its number of lanes",
        "s",
    ),
    Column(
        "test_loss",
        "float64",
        "loss on the test set after the last update; null unless the run trained",
        LOSS,
        of_trained=True,
    ),
    Column("steps_done", "int64", "weight updates done", "weight updates"),
    Column(
        "diverged_step",
        "int64",
        "first update, counted from 1, at which the batch loss had blown up; null if it never did",
        "weight updates",
    ),
    Column(
        "cause",
        "string",
        "why the run failed, or diverged where beta is set from the spectrum and left the stable "
        "region; else null",
    ),
    _setting("residual", "bool", "whether hidden layers have skip connections"),
    _setting(
        "parameterisation",
        "string",
        "name of the parameterisation: scalings and initial distribution",
    ),
    _setting("output", "string", "output loss: mse or cross_entropy"),
    _setting(
        "rule",
        "string",
        "learning rule: pc (predictive coding), bp (backpropagation), ep (equilibrium "
        "propagation), trust_region (trust-region Newton), unsupervised (predictive coding that "
        "infers the input too)",
    ),
    _setting("inference", "string", "name of the inference scheme; null for bp"),
    _setting(
        "inference_steps",
        "int64",
        "inference steps per weight update; null for bp, and where the number is not fixed",
        "steps",
    ),
    _setting("optimiser", "string", "name of the weight optimiser"),
    _setting(
        "optimiser_options", "string", "options of the optimiser except the learning rate, as JSON"
    ),
    _setting("steps", "int64", "weight updates requested", "weight updates"),
    _setting(
        "eval_every", "int64", "weight updates between two points of the curve", "weight updates"
    ),
    _setting("dataset_digest", "string", "SHA-256 of the content of the data set, hexadecimal"),
    _setting("conventions", "int64", "version of the numerical conventions of pccore"),
    Column("device", "string", "device that trained the run"),
    Column("host", "string", "name of the machine that trained the run"),
    Column("pid", "int64", "id of the process that trained the run"),
    Column("started", "timestamp", "time at which the group of the run started", "UTC"),
    Column("lanes", "int64", "runs trained together in one compiled program", "runs"),
    Column("mupc_version", "string", "version of mupc that trained the run"),
    Column("jax_version", "string", "version of JAX that trained the run"),
    Column(
        "group",
        "string",
        "id of the append that holds the curve and the layers of the run; null without these",
    ),
    _added("network", "string", "kind of network, such as hybrid or bidirectional; null: stacked"),
    _added("network_options", "string", "other settings of the network, as JSON; null: none"),
    _added("skip", "int64", "layers that a skip connection spans; null: 1", "layers"),
    _added("bias", "bool", "whether layers have biases; null: false"),
    _added(
        "activity_decay",
        "float64",
        "alpha, decay of the hidden activities; null: 0",
        "weight in the energy",
    ),
    _added(
        "output_precision",
        "float64",
        "p_L, weight of the output energy; null: 1",
        "weight in the energy",
    ),
    _added("rule_options", "string", "options of the learning rule, as JSON; null: none"),
    _added(
        "inference_options",
        "string",
        "options of the inference scheme except its steps, as JSON; null: none",
    ),
    _added(
        "start",
        "string",
        "initial activities of inference; null: a forward pass, or the amortiser's prediction",
    ),
    _added("start_options", "string", "options of start, as JSON; null: none"),
    _added("penalties", "string", "penalties on the weights, as JSON; null: none"),
    _added("probes", "string", "probes measured during training, as JSON; null: none", since=3),
    Column("layers", "int64", _LAYERS, "layers", since=4),
    Column(
        "layers_learned",
        "int64",
        "layers whose weight matrix changed by more than 1% of its initial RMS; null for a run "
        "that diverged or failed",
        "layers",
        since=4,
    ),
    *(
        Column(
            f"change_quarter_{quarter}",
            "float64",
            f"mean change (see table layers) in the {place} quarter of the layers; null for a run "
            "that diverged or failed, and where the quarter has no layer",
            "initial RMS",
            since=4,
        )
        for quarter, place in enumerate(("lowest", "second", "third", "highest"), 1)
    ),
    Column(
        "recorded",
        "timestamp",
        "time at which the run was recorded, later than in every row that its writer knew; null "
        "where started stands for it",
        "UTC",
        since=5,
    ),
    _added(
        "compiler_settings",
        "string",
        "flags of XLA and settings of JAX that may change results and cannot be pinned, where they "
        "differ from their defaults, as JSON; null: none",
        since=6,
    ),
    Column("jaxlib_version", "string", "version of jaxlib that trained the run", since=6),
    Column(
        "weights_digest",
        "string",
        "SHA-256 of the file of the trained weights in the folder weights, hexadecimal; null if "
        "they were not kept",
        since=7,
    ),
    _added(
        "rates",
        "string",
        "searched values of a training function of the user's by the name of their rate, as JSON; "
        "frames have a column for each; null for networks of mupc's, which have weight_lr and "
        "activity_lr",
        since=9,
    ),
    Column(
        "path",
        "string",
        "arithmetic that trained the run: xla, or native with the instruction set; null where it "
        "was not recorded",
        since=10,
    ),
)

FIRST_SETTINGS = tuple(
    column.name
    for column in RUNS
    if column.fixed and column.since == 1 and column.name not in ("run_id", "experiment", "variant")
)
"""The settings that every run's id is the hash of, those included that it does not have."""

CURVES = (
    _key("run_id", "string", "run_id of the run, as in runs"),
    _key("step", "int64", "weight updates done", "weight updates"),
    Column("train_loss", "float64", "mean training loss since the previous point", LOSS),
    Column("test_loss", "float64", "loss on the test set", LOSS),
    Column("test_accuracy", "float64", "fraction of test samples classified correctly", "fraction"),
    Column("group", "string", "id of the append, as in runs"),
)

LAYERS = (
    _key("run_id", "string", "run_id of the run, as in runs"),
    _key("layer", "int64", "layer of the weight matrix, counted from 1 at the input"),
    Column(
        "change",
        "float64",
        "RMS change of the weight matrix in training over its initial RMS; 0 for one that never "
        "moved",
        "initial RMS",
        since=4,
    ),
    Column("group", "string", "id of the append, as in runs", since=4),
)


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
    _key("experiment", "string", "name of the experiment"),
    _key("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    _key("dataset", "string", "name of the data set"),
    _key("activation", "string", "name of the activation"),
    Column("tune_width", "int64", "N of the tuned shape", "units"),
    Column("tune_depth", "int64", "H of the tuned shape", "layers"),
    _key("width", "int64", "N of the target", "units"),
    _key("depth", "int64", "H of the target", "layers"),
    Column("weight_lr", "float64", f"{_WEIGHT_LR}, at the transferred cell", "per weight update"),
    Column(
        "activity_lr", "float64", f"{_ACTIVITY_LR}; at the transferred cell", "per inference step"
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
    Column("min_train_loss", "float64", f"{_MIN_TRAIN_LOSS}, at the transferred cell", LOSS),
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
    Column("layers", "int64", _LAYERS, "layers", since=4),
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

MEASUREMENTS = (
    _key(
        "quantity",
        "string",
        "name of the measured quantity, such as activity_hessian_condition_number",
    ),
    _setting("experiment", "string", "name of the experiment; null if it belongs to none"),
    _setting("run_id", "string", "run that was measured; null if it is not about one run"),
    _setting("variant", "string", "name of the variant: a parameterisation with a learning rule"),
    _setting("dataset", "string", "name of the data set"),
    _setting("activation", "string", "name of the activation"),
    _setting("residual", "bool", "whether hidden layers have skip connections"),
    _setting(
        "parameterisation",
        "string",
        "name of the parameterisation: scalings and initial distribution",
    ),
    _setting("width", "int64", "N, units per hidden layer", "units"),
    _setting("depth", "int64", "H, hidden layers", "layers"),
    _setting("batch_size", "int64", "B, samples in the mean", "samples"),
    _setting("weight_lr", "float64", _WEIGHT_LR, "per weight update"),
    _setting("activity_lr", "float64", _ACTIVITY_LR, "per inference step"),
    _setting("seed", "int64", "random seed of the weights and of the data"),
    _setting("step", "int64", "weight updates done before the measurement", "weight updates"),
    _setting("inference_step", "int64", "inference steps done before the measurement", "steps"),
    _setting("layer", "int64", "layer, counted from 1; null for the whole network"),
    _setting("settings", "string", "everything else that determines the value, as JSON"),
    _setting("conventions", "int64", "version of the numerical conventions of pccore"),
    Column("value", "float64", "measured value, in the unit of column unit"),
    Column("unit", "string", "unit of the value; null for dimensionless numbers"),
    Column("seconds", "float64", "time that the measurement took", "s"),
    Column("source", "string", "definition of the quantity, such as a thesis section"),
    Column("device", "string", "device of the measurement"),
    Column("mupc_version", "string", "version of mupc that measured"),
    Column("jax_version", "string", "version of JAX that measured"),
    Column(
        "created",
        "timestamp",
        "time of the measurement, later than in every row that its writer knew; the newest counts",
        "UTC",
        required=True,
    ),
)
